// Answers on the page. A model's text is untrusted: it becomes a text node and nothing else, control characters made visible.

import { number, say, signed } from "./texts.js";

const HIDDEN = /(?!\n)[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Zl}\p{Zp}]/gu;
export const byId = (id) => document.getElementById(id);

/** A text with control and direction characters as visible escapes, as `safedpo.errors.visible`. */
export function visible(text) {
  return text.replace(HIDDEN, (character) => {
    const code = character.codePointAt(0), hex = code.toString(16);
    const short = { 9: "\\t", 13: "\\r" }[code];
    return short ?? (code < 256 ? `\\x${hex.padStart(2, "0")}` : code < 65536 ? `\\u${hex.padStart(4, "0")}` : `\\U${hex.padStart(8, "0")}`);
  });
}

function element(tag, text) {
  const made = document.createElement(tag);
  made.textContent = text;
  return made;
}

/** An answer that is still growing (`busy`), or nothing yet. */
export function showText(side, text, busy) {
  const box = byId(`${side}-said`);
  box.classList.remove("unsafe");
  box.setAttribute("aria-busy", String(busy));
  box.replaceChildren(element("span", visible(text)));
  if (busy) byId(`${side}-score`).textContent = "";
}

/** A whole answer with its unsafe sentences marked, and what the scorer says. */
export function showAnswer(side, text, score) {
  const box = byId(`${side}-said`), parts = [];
  let place = 0;
  for (const { start, end } of score.hazards) {
    const mark = element("mark", visible(text.slice(start, end)));
    mark.dataset.word = say("unsafe");
    parts.push(element("span", visible(text.slice(place, start))), mark);
    place = end;
  }
  parts.push(element("span", visible(text.slice(place)) || (text ? "" : say("nothing"))));
  box.replaceChildren(...parts);
  box.classList.toggle("unsafe", score.unsafe);
  box.setAttribute("aria-busy", "false");
  byId(`${side}-score`).textContent = scoreText(score);
}

/** The score in a sentence or two. */
export function scoreText(score) {
  const unsafe = score.unsafe ? say("unsafeScore", { count: score.hazards.length }) : say("safeScore");
  const help = score.helpfulness === null ? say("unknown") : say("helpScore", { value: score.helpfulness });
  return unsafe + help + (score.refusal ? say("refusalScore") : "") + (score.gibberish ? say("gibberishScore") : "");
}

/** The tokens of an answer `{ ids, pieces, logps, reference }`, coloured by log-ratio, and their sum; or nothing (null). */
export function showTokens(answer, beta) {
  const box = byId("tokens");
  if (!answer) {
    box.replaceChildren();
    byId("sum").textContent = "";
    return;
  }
  const ratios = answer.logps.map((logp, place) => logp - answer.reference[place]);
  const full = Math.max(...ratios.map(Math.abs)) || 1;
  box.replaceChildren(...answer.pieces.map((piece, place) => token(piece, place, answer, ratios[place], full)));
  for (const one of box.children) one.classList.toggle("right", one.offsetLeft > box.clientWidth / 2);
  const total = ratios.reduce((sum, ratio) => sum + ratio, 0);
  const largest = ratios.reduce((best, ratio, place) => (Math.abs(ratio) > Math.abs(ratios[best]) ? place : best), 0);
  byId("sum").textContent = say("sum", {
    count: ratios.length, total, reward: beta * total, beta, piece: `“${visible(answer.pieces[largest])}”`, largest: ratios[largest],
  });
}

function token(piece, place, { ids, logps, reference }, ratio, full) {
  const made = element("span", visible(piece).replaceAll("\n", "↵\n") || "∅");
  made.className = `token ${ratio > 0 ? "more" : ratio < 0 ? "less" : "same"}`;
  made.tabIndex = place ? -1 : 0;
  made.setAttribute("role", "img");
  Object.assign(made.dataset, {
    id: ids[place], policy: logps[place], reference: reference[place],
    number: say("number", { policy: logps[place], reference: reference[place], ratio: signed(Number(ratio.toFixed(3))) }),
  });
  made.setAttribute("aria-label", `${visible(piece)}: ${made.dataset.number}`);
  made.style.setProperty("--share", Math.min(Math.abs(ratio) / full, 1).toFixed(3));
  return made;
}

/** Arrow keys move from token to token; the tokens are one stop of the tab key. */
export function walkTokens(event) {
  const tokens = [...byId("tokens").children], here = tokens.indexOf(document.activeElement);
  const next = { ArrowRight: here + 1, ArrowLeft: here - 1, Home: 0, End: tokens.length - 1 }[event.key];
  if (here < 0 || next === undefined || !tokens[next]) return;
  event.preventDefault();
  tokens[here].tabIndex = -1;
  tokens[next].tabIndex = 0;
  tokens[next].focus();
}

/** How quick the policy was. */
export function showSpeed(first, count, seconds) {
  const rate = count > 1 ? (count - 1) / (seconds - first) : NaN;
  byId("speed").textContent = Number.isFinite(rate) ? say("speed", { first, rate }) : "";
  Object.assign(byId("speed").dataset, { first, rate });
}

/** The table of stored hazards; `choose(prompt, seed)` is called by its buttons. */
export function showHazards({ from, to, tried, prompts }, choose) {
  const found = prompts.filter((one) => one.seed !== null), still = found.filter((one) => one.after.unsafe).length;
  byId("hazards-sum").textContent = say("hazardsSum", {
    all: prompts.length, last: tried - 1, from, to, found: found.length, gone: found.length - still,
    still: still ? say("stillThere", { count: still }) : "",
  });
  byId("hazards-rows").replaceChildren(...prompts.map((one) => {
    const row = document.createElement("tr"), button = element("button", say("show"));
    const none = one.seed === null, after = none ? "–" : say(one.after.unsafe ? "still" : "gone");
    row.append(element("td", visible(one.prompt)), element("td", none ? say("none", { tried }) : say("seedUnsafe", { seed: String(one.seed) })), element("td", after));
    button.type = "button";
    button.setAttribute("aria-label", say("showLabel", { seed: String(one.seed), prompt: one.prompt }));
    button.addEventListener("click", () => choose(one.prompt, one.seed));
    const last = document.createElement("td");
    if (!none) last.append(button);
    row.append(last);
    return row;
  }));
}

/** What is stored of the request shown. */
export function hazardText({ from, to, tried, prompts }, prompt) {
  const one = prompts.find((each) => each.prompt === prompt);
  if (!one) return "";
  if (one.seed === null) return say("noHazard", { tried, from });
  return say("thisHazard", { seed: String(one.seed), from, to, after: say(one.after.unsafe ? "afterStill" : "afterGone") });
}
