// One setting each: a slider over round values, and a field for any value between them.

import { inRange, RANGES } from "../state/state.js";
import { element, writeSymbols } from "./elements.js";
import { plainNumber, say, written } from "./words.js";

const STEPS = [1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8];
const decades = (least, most) =>
  [...Array(12).keys()]
    .flatMap((power) => STEPS.map((one) => Number((one * 10 ** (power - 4)).toPrecision(2))))
    .filter((value) => value >= least && value <= most);
const PRICES = [0, 0.5, 1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 30, 40, 50];
const STOPS = {
  beta: decades(0.01, 20),
  lr: decades(0.001, 20),
  delta: PRICES,
  penalty: PRICES,
  noise: [...Array(51).keys()].map((percent) => percent / 100),
  n: decades(2, 10000).filter(Number.isInteger),
  seed: [...Array(21).keys()],
  speed: [1, 2, 3, 5, 8, 10, 15, 20, 30, 50, 80, 100],
};

const nearest = (stops, value) =>
  stops.reduce((best, stop, i) => (Math.abs(stop - value) < Math.abs(stops[best] - value) ? i : best), 0);

/** A knob for state[name]; `change(patch)` takes the new value, `warn(text)` says what was wrong with what was typed. */
export function createKnob(name, { change, warn, state }) {
  const stops = STOPS[name];
  const label = element("label", { for: `${name}-slider` });
  const slider = element("input", {
    type: "range", id: `${name}-slider`, min: 0, max: stops.length - 1, step: 1, autocomplete: "off",
    oninput: () => change({ [name]: stops[slider.valueAsNumber] }),
  });
  const field = element("input", {
    type: "text", inputmode: "decimal", class: "number", id: `${name}-field`, autocomplete: "off",
    onchange: () => change({ [name]: readField(field, name, label.textContent, { state, warn }) }),
  });
  const note = element("span", { class: "small" });
  const root = element("div", { class: "knob" }, label, field, slider, note);
  return {
    root,
    update({ lang, disabled = null }) {
      const value = state()[name];
      writeSymbols(label, say(lang, name));
      field.setAttribute("aria-label", say(lang, name));
      note.textContent = disabled ?? "";
      slider.disabled = field.disabled = disabled !== null;
      slider.value = nearest(stops, value);
      slider.setAttribute("aria-valuetext", written(value, lang));
      field.value = written(value, lang);
    },
  };
}

/** What stands in a number field, in its range; the old value, and a word about it, where it is no number. */
export function readField(field, name, title, { state, warn, old = state()[name] }) {
  const { lang } = state();
  const typed = plainNumber(field.value);
  const value = inRange(name, typed);
  const [least, most, now, before] = [...RANGES[name].slice(0, 2), value, old].map((one) => written(one, lang));
  if (value === null) warn(say(lang, "notNumber", { name: title, value: before }));
  else if (value !== Number(typed)) warn(say(lang, "corrected", { name: title, least, most, value: now }));
  field.value = value === null ? before : now;
  return value ?? old;
}

/** A choice of one of several values, each with its words under "name.value". */
export function createChoice(name, values, { change, state }) {
  const select = element("select", { id: `${name}-choice`, autocomplete: "off", onchange: () => change({ [name]: select.value }) });
  const options = values.map((value) => element("option", { value }));
  select.append(...options);
  const label = element("label", { for: `${name}-choice` });
  return {
    root: element("div", { class: "choice" }, label, select),
    update({ lang }) {
      label.textContent = say(lang, name);
      options.forEach((option, i) => (option.textContent = say(lang, `${name}.${values[i]}`)));
      select.value = state()[name];
    },
  };
}

/** A box to tick: "yes" or "no". */
export function createTick(name, { change, state }) {
  const box = element("input", { type: "checkbox", id: `${name}-box`, autocomplete: "off" });
  box.addEventListener("change", () => change({ [name]: box.checked ? "yes" : "no" }));
  const words = element("span");
  return {
    root: element("label", { class: "tick" }, box, words),
    update({ lang, disabled = null }) {
      words.textContent = say(lang, name);
      box.checked = state()[name] === "yes";
      box.disabled = disabled !== null;
    },
  };
}
