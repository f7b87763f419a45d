// Where the sliders stand: a margin, trained or between two trained ones, and a strength -> weights, a label, an error.

import { say, signed } from "./texts.js";

const BETWEEN = 10; // places from one trained margin to the next

/** The slider's margins: the trained ones, and nine between any two, evenly spread in log(1 + Δ), to one decimal. */
export function marginStops(trained) {
  return trained.flatMap((low, place) => {
    const high = trained[place + 1];
    if (high === undefined) return [low];
    const width = Math.log1p(high) - Math.log1p(low);
    const at = (step) => Number(Math.expm1(Math.log1p(low) + (step / BETWEEN) * width).toFixed(1));
    return [low, ...Array.from({ length: BETWEEN - 1 }, (_, step) => at(step + 1))];
  });
}

/** Each trained margin's share of `delta`: all of one, or of its two neighbours, linear in log(1 + Δ) as in Python. */
export function shares(delta, trained) {
  if (trained.includes(delta)) return trained.map((stop) => Number(stop === delta));
  const above = trained.findIndex((stop) => stop > delta), low = trained[above - 1], high = trained[above];
  const part = (Math.log1p(delta) - Math.log1p(low)) / (Math.log1p(high) - Math.log1p(low));
  return trained.map((_, place) => (place === above ? part : place === above - 1 ? 1 - part : 0));
}

/** The weights that the network gets. */
export const weightsAt = (delta, strength, trained) => shares(delta, trained).map((share) => share * strength);

/** What the policy is, in the words of notebook 08: trained, scaled, or a blend that nobody trained. */
export function label(delta, strength, trained, beta) {
  const x = String(strength);
  if (trained.includes(delta)) {
    if (strength === 0) return say("isReference");
    if (strength === 1) return say("trained", { delta: String(delta) });
    return say("scaled", { delta: String(delta), x, beta: String(Number((beta / strength).toPrecision(3))) });
  }
  const parts = shares(delta, trained).flatMap((share, place) =>
    (share ? [say("part", { weight: share.toFixed(2), delta: String(trained[place]) })] : []));
  return say("blend", { parts: parts.join(" + ") }) + (strength === 1 ? "" : say("also", { x }));
}

/** How far blends were from what was really trained, at the trained margins next to `delta` that could be left out. */
export function blendError(delta, trained, blends) {
  const mixed = shares(delta, trained).map((share, place) => (share ? trained[place] : null));
  if (trained.includes(delta)) return "";
  const interval = ({ value, low, high }) => say("interval", { value: signed(round(value)), low: signed(round(low)), high: signed(round(high)) });
  const told = blends.filter((one) => mixed.includes(one.delta)).map(({ delta: left, minus_trained: gap }) =>
    say("blendError", { delta: left, harm: interval(gap.harm), helpfulness: interval(gap.helpfulness) }));
  return told.length ? `${say("blendErrors")}${told.join("; ")}.` : "";
}

const round = (value) => Number(value.toFixed(3));

/** The state of an address's fragment, every value checked; what is missing or odd is left out. */
export function fromFragment(fragment, stops) {
  const given = new URLSearchParams(fragment.replace(/^#/, "")), state = {};
  const finite = (name) => (given.get(name)?.trim() ? Number(given.get(name)) : NaN);
  if (given.get("prompt")) state.prompt = given.get("prompt").slice(0, 2000);
  if (stops.includes(finite("delta"))) state.delta = finite("delta");
  if (finite("strength") >= 0 && finite("strength") <= 2) state.strength = Math.round(finite("strength") * 20) / 20;
  if (isSeed(finite("seed"))) state.seed = finite("seed");
  return state;
}

/** The fragment of a state; `seed` null is the most probable token each time. */
export function toFragment({ prompt, delta, strength, seed }) {
  const given = new URLSearchParams({ prompt, delta, strength });
  if (seed !== null) given.set("seed", seed);
  return `#${given}`;
}

export const isSeed = (value) => Number.isInteger(value) && value >= 0 && value < 2 ** 32;
