// The table of answers: text, bit, reward and reference under the reader's hand, the three policies beside them.

import { cleanText, LEAST_ANSWERS, MOST_ANSWERS } from "../state/state.js";
import { element, find, symbol, write } from "./elements.js";
import { readField } from "./knobs.js";
import { say, shown, written } from "./words.js";

export const POLICIES = ["penalty", "best", "trained"];

export function createEditor({ state, change, touch, warn }) {
  const list = find("answers");
  const add = find("add");
  let rows = [];

  const edited = (place, patch) => ({ answers: state().answers.map((one, i) => (i === place ? { ...one, ...patch } : one)) });
  const edit = (place, patch) => change(edited(place, patch));
  const rename = (place, text) => touch(edited(place, { text }));

  function remove(place) {
    change({ answers: state().answers.filter((_, i) => i !== place) });
    (rows[Math.min(place, rows.length - 1)] ?? { text: add }).text.focus();
  }

  add.addEventListener("click", () => {
    const one = { text: say(state().lang, "newAnswer"), reference: 0.1, reward: 0, unsafe: false };
    change({ answers: [...state().answers, one] });
    rows.at(-1).text.focus();
    rows.at(-1).text.select();
  });

  function update() {
    const { answers, lang } = state();
    if (rows.length !== answers.length) {
      rows = answers.map((_, place) => createRow(place, { state, edit, rename, remove, warn }));
      list.replaceChildren(...rows.map((row) => row.root));
    }
    rows.forEach((row, place) => updateRow(row, place, answers[place], lang, answers.length));
    add.disabled = answers.length >= MOST_ANSWERS;
  }

  return { update, draw: (policies) => rows.forEach((row, place) => drawRow(row, place, policies, state().lang)) };
}

function createRow(place, { state, edit, rename, remove, warn }) {
  const text = element("input", {
    type: "text", class: "text", maxlength: 80, autocomplete: "off", dir: "auto",
    oninput: () => rename(place, cleanText(text.value)),
    onchange: () => (text.value = state().answers[place].text),
  });
  const bit = element("button", { type: "button", class: "bit", onclick: () => edit(place, { unsafe: !state().answers[place].unsafe }) });
  const gone = element("button", { type: "button", class: "gone", onclick: () => remove(place) }, "×");
  const inputs = { reward: bar("reward", -3, 3, 0.1), reference: bar("reference", 0, 1, 0.01) };
  for (const [name, { slider, field }] of Object.entries(inputs)) {
    slider.addEventListener("input", () => edit(place, { [name]: slider.valueAsNumber }));
    field.addEventListener("change", () => {
      const title = say(state().lang, `${name}Label`, { n: place + 1 });
      edit(place, { [name]: readField(field, name, title, { state, warn, old: state().answers[place][name] }) });
    });
  }
  const outputs = Object.fromEntries(POLICIES.map((name) => [name, meter(name)]));
  const cells = [inputs.reward, inputs.reference, ...POLICIES.map((name) => outputs[name])].map((one) => one.root);
  return { root: element("li", { class: "row" }, text, bit, ...cells, gone), text, bit, gone, inputs, outputs };
}

/** A bar that is dragged: a range input drawn as a bar, and a field for the exact number above it. */
function bar(name, min, max, step) {
  const slider = element("input", { type: "range", class: "bar", min, max, step, autocomplete: "off" });
  const field = element("input", { type: "text", inputmode: "decimal", class: "number", autocomplete: "off" });
  return { slider, field, root: element("div", { class: `cell ${name}` }, symbol(name), field, slider) };
}

function meter(name) {
  const value = element("span", { class: "value" });
  const fill = element("i");
  return { value, fill, root: element("div", { class: `cell ${name}` }, symbol(name), value, element("div", { class: "bar" }, fill)) };
}

function updateRow(row, place, answer, lang, count) {
  const n = place + 1;
  if (row.text.value !== answer.text && cleanText(row.text.value) !== answer.text) row.text.value = answer.text;
  row.text.setAttribute("aria-label", say(lang, "textLabel", { n }));
  row.text.title = answer.text;
  const bit = say(lang, answer.unsafe ? "unsafe" : "safe");
  row.root.classList.toggle("unsafe", answer.unsafe);
  write(row.bit, `${answer.unsafe ? "▲" : "✓"} ${bit}`);
  row.bit.setAttribute("aria-label", say(lang, "bitLabel", { n, bit }));
  row.gone.disabled = count <= LEAST_ANSWERS;
  row.gone.title = say(lang, "remove");
  row.gone.setAttribute("aria-label", say(lang, "removeLabel", { n }));
  for (const [name, { slider, field }] of Object.entries(row.inputs)) {
    const value = answer[name];
    slider.value = value;
    slider.setAttribute("aria-label", say(lang, `${name}Label`, { n }));
    slider.setAttribute("aria-valuetext", written(value, lang));
    field.setAttribute("aria-label", say(lang, `${name}Label`, { n }));
    field.value = written(value, lang);
    const share = (value - Number(slider.min)) / (slider.max - slider.min);
    const zero = name === "reward" ? 0.5 : 0;
    slider.style.setProperty("--from", `${100 * Math.min(zero, share)}%`);
    slider.style.setProperty("--to", `${100 * Math.max(zero, share)}%`);
  }
}

function drawRow(row, place, policies, lang) {
  for (const name of POLICIES) {
    const { value, fill } = row.outputs[name];
    const share = policies[name] ? Math.exp(policies[name][place]) : null;
    write(value, shown(share, lang));
    fill.style.setProperty("--rest", `${(100 * (1 - (share ?? 0))).toFixed(2)}%`);
  }
}
