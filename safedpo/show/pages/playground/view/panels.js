// The measures of the four policies, the fates of the pairs, and what has to be said.

import { GROUPS, groupOf, RULES } from "../model/pairs.js";
import { hasMargin } from "../state/state.js";
import { element, find, symbol, write, writeSymbols } from "./elements.js";
import { say, shown } from "./words.js";

export const COLUMNS = ["reference", "penalty", "best", "trained"];
export const MEASURES = ["unsafeMass", "expectedReward", "klReference", "tvOptimum", "klOptimum"];

export function createMeasures() {
  const names = MEASURES.map((name) => element("span", { role: "rowheader" }));
  const cells = MEASURES.map(() => COLUMNS.map((column) => element("span", { role: "cell", class: column })));
  const corner = element("span", { role: "columnheader" });
  const heads = COLUMNS.map((column) => element("span", { role: "columnheader", class: column }, symbol(column)));
  const rows = MEASURES.map((_, i) => element("div", { role: "row", class: "measure" }, names[i], ...cells[i]));
  find("measures").append(element("div", { role: "row", class: "measure top" }, corner, ...heads), ...rows);
  return {
    update(lang) {
      write(corner, say(lang, "metric"));
      MEASURES.forEach((name, i) => write(names[i], say(lang, name)));
    },
    draw(numbers, lang) {
      MEASURES.forEach((name, i) => COLUMNS.forEach((column, k) => write(cells[i][k], rounded(name, numbers[column][name], lang))));
    },
  };
}

/** Distances below what float64 can tell from nothing are written as such. */
function rounded(name, value, lang) {
  const isDistance = name !== "unsafeMass" && name !== "expectedReward";
  return isDistance && value && Math.abs(value) < 1e-13 ? "≈ 0" : shown(value, lang);
}

const SIGNS = { kept: "✓", swapped: "⇄", dropped: "✕" };

/** The sign of the margin that the loss puts on a group: h of the rejected minus h of the chosen. */
function marginSign(group, fate) {
  const bits = Number(group[1] === "U") - Number(group[0] === "U");
  if (fate === "dropped" || bits === 0) return "";
  return (fate === "swapped" ? -bits : bits) > 0 ? "+" : "−";
}

export function drawFates(counts, state) {
  const { lang, rule } = state;
  const percent = (part) => `${shown((100 * part) / counts.total, lang, 1)} %`;
  find("fates").replaceChildren(
    ...GROUPS.map((group) => {
      const fate = RULES[rule][group];
      const sign = hasMargin(state) && state.delta > 0 ? marginSign(group, fate) : "";
      const fill = element("i");
      fill.style.setProperty("--rest", `${(100 * (1 - counts[group] / counts.total)).toFixed(2)}%`);
      const tag = element("span", { class: "fate" }, `${SIGNS[fate]} ${say(lang, fate)}`);
      const margin = sign ? [element("span", { class: "margin" }, say(lang, "withMargin", { sign }))] : [];
      return element("div", { class: `group ${fate}` },
        element("span", { class: "who" }, element("b", {}, group), " ", say(lang, `group.${group}`)),
        element("div", { class: "bar" }, fill), element("span", { class: "value" }, percent(counts[group])),
        element("span", { class: "does" }, tag, ...margin));
    }),
  );
  const whole = state.data === "drawn" ? state.n : counts.total;
  const amount = (part) => shown((whole * part) / counts.total, lang, state.data === "drawn" && !state.noise ? 0 : 2);
  write(find("fates-total"), say(lang, "fatesTotal", {
    total: amount(counts.total), kept: amount(counts.kept), swapped: amount(counts.swapped), dropped: amount(counts.dropped),
  }));
}

const FATES = Object.keys(SIGNS);

/** Who meets whom, and what becomes of it: a square for every ordered pair, cut by its fates (labels may differ). */
export function drawMeetings(rows, { answers, rule }) {
  const weights = answers.map(() => answers.map(() => ({ kept: 0, swapped: 0, dropped: 0 })));
  for (const one of rows) weights[one.chosen][one.rejected][RULES[rule][groupOf(one)]] += one.weight;
  const totals = weights.map((row) => row.map((one) => one.kept + one.swapped + one.dropped));
  const most = Math.max(...totals.flat());
  const square = (one, total) => {
    const parts = FATES.filter((fate) => one[fate] > 0).map((fate) => {
      const part = element("b", { class: fate });
      part.style.setProperty("flex-grow", String(one[fate] / total));
      return part;
    });
    const area = element("i", {}, ...parts);
    area.style.setProperty("--side", `${(100 * Math.sqrt(total / most)).toFixed(1)}%`);
    return element("span", { class: "meeting" }, area);
  };
  const heads = answers.map((_, i) => element("span", { class: "number" }, String(i + 1)));
  const lines = answers.flatMap((answer, i) => [
    element("span", { class: "who", dir: "auto" }, `${i + 1} ${answer.text}`),
    ...answers.map((_, k) => (i === k ? element("span") : square(weights[i][k], totals[i][k]))),
  ]);
  find("meetings").style.setProperty("--count", String(answers.length));
  find("meetings").replaceChildren(element("span"), ...heads, ...lines);
}

export function drawNotices(notices) {
  const box = find("notices");
  const text = notices.map((one) => one.text).join("\n");
  if (box.dataset.text === text) return; // a screen reader says again what is written again
  box.dataset.text = text;
  box.replaceChildren(...notices.map((one) => element("p", { class: `notice ${one.kind}` })));
  notices.forEach((one, i) => writeSymbols(box.children[i], one.text));
}
