// The page: the state, what follows from it, and the loop that trains and draws.

import { policyOf, SLOPES } from "../model/fit.js";
import { RULES } from "../model/pairs.js";
import { pythonCell } from "../state/cell.js";
import { isChanged, PRESETS, presetState, translated } from "../state/presets.js";
import { cleanText, fromFragment, hasMargin, MOST_STEPS, toFragment } from "../state/state.js";
import { createCurves } from "./curves.js";
import { createEditor } from "./editor.js";
import { element, find, write, writeSymbols } from "./elements.js";
import { createChoice, createKnob, createTick } from "./knobs.js";
import { createMeasures, drawFates, drawMeetings, drawNotices } from "./panels.js";
import { derive, measuresOf, policiesOf, standingNotices, train } from "./session.js";
import { createDialog } from "./share.js";
import { say, shown, WORDS } from "./words.js";

const BUDGET = 8; // milliseconds of training in one frame
const CALM = matchMedia("(prefers-reduced-motion: reduce)");
const CALM_PAUSE = 500; // milliseconds between two pictures where less motion is asked for

let state;
let derived; // what follows from the state: see derive
let said = []; // what was wrong with a link or a number, until the next change
let playing = false;
let waiting = false; // a frame is asked for
let lastPicture = 0;

const access = { state: () => state, change, touch, warn: (text) => said.push({ kind: "correction", text }) };
const editor = createEditor(access);
const measures = createMeasures();
const showDialog = createDialog(access.state);
const knobs = Object.fromEntries(
  ["beta", "delta", "penalty", "lr", "n", "seed", "noise"].map((name) => [name, createKnob(name, access)]),
);
knobs.speed = createKnob("speed", { ...access, change: touch });
const choices = {
  rule: createChoice("rule", Object.keys(RULES), access),
  loss: createChoice("loss", Object.keys(SLOPES), access),
  data: createChoice("data", ["exact", "drawn"], access),
};
const tick = createTick("compare", access);
const curves = createCurves();

/** Take new values; the training begins again. */
function change(patch) {
  const warnings = said;
  state = { ...state, ...patch, step: 0 };
  said = [];
  derived = derive(state);
  said = warnings.filter((one) => one.kind === "correction" && !one.old);
  said.forEach((one) => (one.old = true));
  update();
  saveSoon();
}

/** What trains nothing anew: the speed, and the words of prompt and answers. */
function touch(patch) {
  state = { ...state, ...patch };
  update();
  saveSoon();
}

/** What changes with every step. */
function draw() {
  const { lang } = state;
  const found = measuresOf(derived);
  editor.draw(policiesOf(derived));
  measures.draw(found, lang);
  write(find("step"), String(derived.run.step));
  write(find("mini"), `${say(lang, "unsafe")} ${shown(found.trained.unsafeMass, lang)}`);
  write(find("sentence"), sentence(found));
  curves.draw(derived, lang);
}

function sentence(found) {
  const { lang } = state;
  return say(lang, derived.best ? "sentence" : "sentenceNoOptimum", {
    step: derived.run.step,
    unsafe: shown(found.trained.unsafeMass, lang),
    reference: shown(found.reference.unsafeMass, lang),
    reward: shown(found.trained.expectedReward, lang),
    tv: shown(found.trained.tvOptimum, lang),
  });
}

/** What a screen reader is told when the training rests: not sixty times a second. */
function speak() {
  const text = sentence(measuresOf(derived));
  write(find("spoken"), text);
  curves.say(derived, state.lang, text);
}

/** What changes when the reader changes something: words, controls, pairs, notices; then the numbers. */
function update() {
  const { lang } = state;
  document.documentElement.lang = lang;
  document.title = say(lang, "title");
  for (const node of document.querySelectorAll("[data-say]")) write(node, say(lang, node.dataset.say));
  for (const node of document.querySelectorAll("[data-label]")) node.setAttribute("aria-label", say(lang, node.dataset.label));
  for (const node of document.querySelectorAll("[data-lang]")) node.setAttribute("aria-pressed", String(node.dataset.lang === lang));
  const story = PRESETS.findIndex((one) => one.name === state.story);
  [...find("stories").children].forEach((chip, place) => {
    write(chip.lastChild, say(lang, `${PRESETS[place].name}.title`));
    chip.setAttribute("aria-pressed", String(place === story));
  });
  writeSymbols(find("story"), say(lang, `${state.story}.story`) + (isChanged(state) ? ` (${say(lang, "changed")})` : ""));
  if (cleanText(find("prompt").value) !== state.prompt) find("prompt").value = state.prompt;
  const noMargin = hasMargin(state) ? null : say(lang, "noDelta");
  for (const [name, knob] of Object.entries(knobs)) knob.update({ lang, disabled: name === "delta" ? noMargin : null });
  for (const choice of Object.values(choices)) choice.update({ lang });
  tick.update({ lang, disabled: noMargin });
  for (const name of ["n", "seed"]) knobs[name].root.hidden = state.data === "exact";
  editor.update();
  measures.update(lang);
  drawFates(derived.pairs.counts, state);
  drawMeetings(derived.pairs.rows, state);
  curves.legend(derived, lang);
  write(find("restart"), say(lang, CALM.matches ? "calm" : "restart"));
  rest();
}

/** The picture of a run that stands still, or has just begun or ended. */
function rest() {
  find("play").textContent = say(state.lang, playing ? "pause" : "play");
  draw();
  drawNotices([...said, ...standingNotices(state, derived)]);
  if (!playing) speak();
  if (playing || derived.run.step < state.step) ask();
}

function ask() {
  if (!waiting) requestAnimationFrame(frame);
  waiting = true;
}

function frame(now) {
  waiting = false;
  const behind = state.step - derived.run.step; // a link names the step where the run stands
  if (behind > 0) {
    const on = train(derived, behind, performance.now() + BUDGET);
    if (!on || derived.run.step >= state.step) state.step = derived.run.step;
    if (on && derived.run.step < state.step) return ask();
    return rest();
  }
  if (!playing) return undefined;
  if (CALM.matches && now - lastPicture < CALM_PAUSE) return ask();
  lastPicture = now;
  const on = train(derived, state.speed * (CALM.matches ? 30 : 1), performance.now() + (CALM.matches ? 20 : 1) * BUDGET);
  state.step = derived.run.step;
  if (!on) return play(false);
  draw();
  return ask();
}

function play(on) {
  playing = on && derived.run.slots.length > 0 && derived.run.divergedAt === null && derived.run.step < MOST_STEPS;
  rest();
  saveSoon();
}

let saving = 0;
function saveSoon() {
  clearTimeout(saving);
  saving = setTimeout(saveNow, 300);
}

function saveNow() {
  try {
    history.replaceState(null, "", `#${toFragment(state)}`);
  } catch {
    // Some browsers limit how often, or refuse it for a file: the address stays old, "Share a link" has the new one.
  }
}

function address() {
  return `${location.href.split("#")[0]}#${toFragment(state)}`;
}

/** The state of the address, over the first story; what could not be read is said. */
function readAddress() {
  const lang = navigator.language.startsWith("de") ? "de" : "en";
  const { state: read, wrong } = fromFragment(location.hash.slice(1), presetState(0, lang));
  state = read;
  playing = false;
  said = wrong.length ? [{ kind: "problem", text: say(state.lang, "badLink", { names: wrong.slice(0, 5).join(", ") }) }] : [];
  derived = derive(state);
  update();
}

function choosePreset(place) {
  playing = false;
  change(presetState(place, state.lang));
}

function chooseLanguage(lang) {
  const answers = state.answers.map((one) => ({ ...one, text: translated(one.text, lang) }));
  state = { ...state, lang, answers, prompt: translated(state.prompt, lang) };
  said = [];
  update();
  saveSoon();
}

find("stories").append(
  ...PRESETS.map((_, place) =>
    element("button", { type: "button", onclick: () => choosePreset(place) }, element("span", { class: "number" }, String(place + 1)), element("span")),
  ),
);
find("objective").append(
  ...[choices.rule, choices.loss, knobs.beta, knobs.delta, knobs.penalty, knobs.lr, tick].map((one) => one.root),
);
find("data").append(...[choices.data, knobs.n, knobs.seed, knobs.noise].map((one) => one.root));
find("speed-knob").append(knobs.speed.root);
find("prompt").addEventListener("input", () => {
  touch({ prompt: cleanText(find("prompt").value) });
});
find("play").addEventListener("click", () => play(!playing));
find("one-step").addEventListener("click", () => {
  playing = false;
  train(derived, 1);
  state.step = derived.run.step;
  rest();
  saveSoon();
});
find("reset").addEventListener("click", () => {
  playing = false;
  change({});
});
for (const button of document.querySelectorAll("[data-lang]")) button.addEventListener("click", () => chooseLanguage(button.dataset.lang));
find("link").addEventListener("click", () => showDialog(say(state.lang, "linkTitle"), say(state.lang, "linkNote"), address()));
find("cell").addEventListener("click", () => {
  const about = { world: derived.world, feasible: derived.best !== null, trained: derived.run.slots.length > 0, step: derived.run.step };
  showDialog(say(state.lang, "cellTitle"), say(state.lang, "cellNote"), pythonCell(state, about));
});
addEventListener("hashchange", readAddress);
new ResizeObserver(() => draw()).observe(find("distances"));
readAddress();

// Every number in full.
window.safedpoPlayground = {
  words: WORDS,
  state: () => structuredClone(state),
  numbers: () => ({
    step: derived.run.step, logps: policiesOf(derived),
    beside: derived.beside && policyOf(derived.beside),
    measures: measuresOf(derived), counts: { ...derived.pairs.counts },
    path: derived.run.path, divergedAt: derived.run.divergedAt,
  }),
};
