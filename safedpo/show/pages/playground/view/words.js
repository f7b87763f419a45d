// Every word on the page, in both languages: one catalogue. The same keys in each; {x} is filled in by `say`.

import { EN } from "./english.js";
import { DE } from "./german.js";

export const WORDS = { en: EN, de: DE };

/** The text of a key with its places filled in: say("de", "stepCount", {...}). */
export function say(lang, key, filled = {}) {
  return WORDS[lang][key].replace(/\{(\w+)\}/g, (place, name) => (Object.hasOwn(filled, name) ? filled[name] : place));
}

/** A number as the page writes it: `digits` decimals, a power of ten where they would hide it; a comma in German. */
export function shown(value, lang, digits = 3) {
  if (value === null || Number.isNaN(value)) return "–";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
  if (Math.abs(value - Math.round(value)) < 1e-12 && Math.round(value) !== 0) return written(Math.round(value), lang);
  const small = value !== 0 && Math.abs(value) < 0.5 * 10 ** -digits;
  return written(value === 0 ? 0 : small ? value.toExponential(0) : value.toFixed(digits), lang);
}

/** Every digit of a number, as a field holds it. */
export function written(value, lang) {
  return String(value).replaceAll("-", "−").replace(".", lang === "de" ? "," : ".");
}

/** What stands in a field as JavaScript reads it: a comma is a point, and a minus sign a hyphen. */
export function plainNumber(text) {
  return text.trim().replaceAll("−", "-").replace(",", ".");
}
