// Everything the reader can set, as one plain object; and the same as the fragment of the address.
// A fragment comes from anybody: each value is read as its own kind and brought into its range, or left as it was.

import { SLOPES } from "../model/fit.js";
import { RULES } from "../model/pairs.js";
import { PRESETS } from "./presets.js";

export const MOST_ANSWERS = 12;
export const LEAST_ANSWERS = 2;
export const MOST_STEPS = 20000;
const MOST_CHARACTERS = 80;
const MOST_FRAGMENT = 20000;

/** [least, most, whole numbers only] */
export const RANGES = {
  reference: [0, 1],
  reward: [-3, 3],
  beta: [0.01, 20],
  delta: [0, 50],
  penalty: [0, 50],
  noise: [0, 0.5],
  lr: [0.001, 20],
  n: [2, 10000, true],
  seed: [0, 999999, true],
  speed: [1, 100, true],
  step: [0, MOST_STEPS, true],
};
const CHOICES = {
  story: PRESETS.map((one) => one.name),
  rule: Object.keys(RULES),
  loss: Object.keys(SLOPES),
  data: ["exact", "drawn"],
  compare: ["no", "yes"],
};
/** The order in which a link names them. */
const NAMES = [...Object.keys(CHOICES), "beta", "delta", "penalty", "noise", "lr", "n", "seed", "speed", "step"];

/** Whether the loss has a margin delta at all. */
export function hasMargin(state) {
  return state.loss === "safedpo";
}

/** The number brought into its range, or null if it is none. */
export function inRange(name, value) {
  const number = typeof value === "string" && value.trim() === "" ? NaN : Number(value);
  if (Number.isNaN(number)) return null;
  const [least, most, whole] = RANGES[name];
  const inside = Math.min(most, Math.max(least, number));
  return whole ? Math.round(inside) : inside;
}

/** One line without control characters, characters that reverse the direction of text, and halves of characters. */
export function cleanText(text) {
  const visible = String(text).replace(/[\p{Cc}\p{Cs}\p{Zl}\p{Zp}\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu, "\ufffd");
  return [...visible].slice(0, MOST_CHARACTERS).join("");
}

export function toFragment(state) {
  const parts = new URLSearchParams();
  for (const name of NAMES) parts.set(name, String(state[name]));
  parts.set("prompt", state.prompt);
  for (const one of state.answers) {
    parts.append("a", [one.reference, one.reward, one.unsafe ? "U" : "S", one.text].join(","));
  }
  parts.set("lang", state.lang);
  return parts.toString();
}

/** { state, wrong }: the state over `base`, and the names of what could not be taken as it stood. */
export function fromFragment(fragment, base) {
  const state = { ...base };
  const wrong = new Set();
  if (fragment.length > MOST_FRAGMENT) return { state, wrong: ["length"] };
  const parts = new URLSearchParams(fragment);
  for (const [name, given] of parts) {
    if (NAMES.includes(name)) readOne(state, name, given, wrong);
    else if (name === "prompt") state.prompt = cleanText(given);
    else if (name === "lang" && ["en", "de"].includes(given)) state.lang = given;
    else if (name !== "a") wrong.add(cleanText(name));
  }
  const answers = parts.getAll("a").map((given) => readAnswer(given, wrong)).filter((one) => one !== null);
  if (answers.length > MOST_ANSWERS) wrong.add("a");
  if (answers.length >= LEAST_ANSWERS) state.answers = answers.slice(0, MOST_ANSWERS);
  else if (parts.has("a")) wrong.add("a");
  return { state, wrong: [...wrong] };
}

function readOne(state, name, given, wrong) {
  if (Object.hasOwn(CHOICES, name)) {
    if (CHOICES[name].includes(given)) state[name] = given;
    else wrong.add(name);
    return;
  }
  const value = inRange(name, given);
  if (value !== null) state[name] = value;
  if (value === null || value !== Number(given)) wrong.add(name);
}

function readAnswer(given, wrong) {
  const found = /^([^,]*),([^,]*),([SU]),(.*)$/su.exec(given);
  const [reference, reward] = found ? [inRange("reference", found[1]), inRange("reward", found[2])] : [null, null];
  if (reference === null || reward === null) {
    wrong.add("a");
    return null;
  }
  if (reference !== Number(found[1]) || reward !== Number(found[2])) wrong.add("a");
  return { text: cleanText(found[4]), reference, reward, unsafe: found[3] === "U" };
}
