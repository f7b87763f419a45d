// Small makers of elements. Text enters the page by textContent and attributes only, never as markup.

const SVG = "http://www.w3.org/2000/svg";

export function element(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

export function drawing(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

function filled(made, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value !== null) made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

export function find(id) {
  return document.getElementById(id);
}

/** Write only what changed: a text node that is written again is laid out again. */
export function write(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** The same, with π_C and its like written with a subscript. */
export function writeSymbols(node, text) {
  if (node.dataset.text === text) return;
  node.dataset.text = text;
  const parts = text.replaceAll(" = ", "\u00a0=\u00a0").split(/(π_\w+)/);
  node.replaceChildren(...parts.map((part, i) => (i % 2 ? element("span", {}, "π", element("sub", {}, part.slice(2))) : part)));
}

const SYMBOLS = { reference: ["π", "ref"], penalty: ["π", "C"], best: ["π*"], trained: ["π", "θ"], reward: ["r"] };

/** The symbol of a column, with its subscript. */
export function symbol(name) {
  const [base, below] = SYMBOLS[name];
  return element("b", { class: "symbol" }, base, ...(below ? [element("sub", {}, below)] : []));
}
