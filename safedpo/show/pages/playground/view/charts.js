// Lines over training steps, drawn as SVG in the pixels of their figure, so that text keeps its size on a phone.

import { drawing, element, write } from "./elements.js";

const HEIGHT = 230;
const EDGE = { left: 60, right: 16, top: 10, bottom: 40 };
const MOST_POINTS = 160;
const LOWEST_DECADE = -12;

/** The first of 2, 4, 8, 20, 40, 80, ... that is not below the value: its quarters are round, too. */
function nice(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 4, 8, 20].map((one) => one * power).find((one) => one >= value * (1 - 1e-9) && one !== power);
}

/** Shares on a logarithmic scale from 1 down to the decade of the smallest; what is below the last decade lies on it. */
export const LOG_SHARE = {
  transform: (value) => Math.max(LOWEST_DECADE, Math.log10(value)),
  range: (least) => [Math.max(LOWEST_DECADE, Math.min(-3, Math.floor(least))), 0],
  ticks([bottom]) {
    const every = bottom < -6 ? 3 : 1;
    return [...Array(1 - bottom).keys()].map((k) => -k).filter((k) => k % every === 0);
  },
  text: (exponent, comma) => (exponent > -4 ? String(10 ** exponent).replace(".", comma) : `10${superscript(exponent)}`),
};

/** Log-probabilities from 0 downwards. */
export const NATS = {
  transform: (value) => value,
  range: (least) => [-nice(Math.max(2, -least * 1.02)), 0],
  ticks: ([bottom]) => [0, 1, 2, 3, 4].map((part) => (bottom * part) / 4),
  text: (value, comma) => String(value).replace("-", "−").replace(".", comma),
};

function superscript(exponent) {
  return [...String(exponent)].map((one) => (one === "-" ? "⁻" : "⁰¹²³⁴⁵⁶⁷⁸⁹"[one])).join("");
}

/** `lines`: { key, ghost, style }; `draw(paths)` takes the recorded path of the run and of the run beside it. */
export function createChart(figure, lines, scale) {
  const title = element("h2");
  const legend = element("p", { class: "legend" });
  const axes = drawing("g", { class: "axes" });
  const strokes = lines.map((line) => drawing("path", { class: `line ${line.style}${line.ghost ? " ghost" : ""}` }));
  const ends = lines.map((line) => (line.ghost ? null : drawing("circle", { class: `end ${line.style}`, r: 4 })));
  const [xTitle, yTitle] = [drawing("text", { class: "title" }), drawing("text", { class: "title" })];
  const svg = drawing("svg", { role: "img", height: HEIGHT }, axes, xTitle, yTitle, ...strokes, ...ends.filter(Boolean));
  figure.append(title, legend, svg);
  let drawn = "";

  function draw(run, beside, words) {
    const width = Math.max(220, Math.round(figure.clientWidth - 2 * parseFloat(getComputedStyle(figure).paddingLeft)));
    const steps = run.unsafe.length - 1;
    const span = steps <= 20 ? 20 : nice(steps);
    const columns = lines.map((line) => thinned((line.ghost ? beside : run)?.[line.key], scale));
    const least = Math.min(0, ...columns.flat().map(([, y]) => y).filter(Number.isFinite));
    const range = scale.range(least);
    const [x, y] = [
      (step) => EDGE.left + (step / span) * (width - EDGE.left - EDGE.right),
      (value) => EDGE.top + ((range[1] - value) / (range[1] - range[0])) * (HEIGHT - EDGE.top - EDGE.bottom),
    ];
    const frame = [width, span, ...range, words.x, words.y, words.comma].join();
    if (frame !== drawn) drawAxes(axes, scale, range, span, width, x, y, words.comma);
    if (frame !== drawn) placeTitles(svg, xTitle, yTitle, width, words);
    drawn = frame;
    columns.forEach((points, i) => {
      const known = points.filter(([, value]) => Number.isFinite(value));
      strokes[i].setAttribute("d", known.map(([step, value], k) => `${k ? "L" : "M"}${x(step).toFixed(1)} ${y(value).toFixed(1)}`).join(""));
      if (!ends[i]) return;
      const last = known.at(-1);
      ends[i].setAttribute("visibility", last ? "visible" : "hidden");
      if (last) {
        ends[i].setAttribute("cx", x(last[0]).toFixed(1));
        ends[i].setAttribute("cy", y(last[1]).toFixed(1));
      }
    });
  }

  return {
    draw,
    say(text, label) {
      write(title, text);
      svg.setAttribute("aria-label", label);
    },
    legend(items) {
      legend.replaceChildren(
        ...items.map(({ style, text }) =>
          element("span", {}, ...(style ? [drawing("svg", { width: 30, height: 10, "aria-hidden": "true" }, drawing("path", { class: `line ${style}`, d: "M1 5H29" }))] : []), text),
        ),
      );
    },
  };
}

/** At most MOST_POINTS of the recorded values, the last among them, as [step, transformed value]. */
function thinned(values, scale) {
  if (!values) return [];
  const stride = Math.max(1, Math.ceil((values.length - 1) / MOST_POINTS));
  const points = [];
  for (let step = 0; step < values.length; step += stride) points.push([step, scale.transform(values[step])]);
  if ((values.length - 1) % stride) points.push([values.length - 1, scale.transform(values.at(-1))]);
  return points;
}

function drawAxes(axes, scale, range, span, width, x, y, comma) {
  const made = [];
  for (const value of scale.ticks(range)) {
    const height = y(value);
    made.push(drawing("line", { class: value === 0 ? "axis" : "rule", x1: EDGE.left, x2: width - EDGE.right, y1: height, y2: height }));
    made.push(drawing("text", { x: EDGE.left - 8, y: height + 4, "text-anchor": "end" }, scale.text(value, comma)));
  }
  for (const part of [0, 0.25, 0.5, 0.75, 1]) {
    const [place, base] = [x(part * span), y(range[0])];
    made.push(drawing("line", { class: "axis", x1: place, x2: place, y1: base, y2: base + 4 }));
    made.push(drawing("text", { x: place, y: base + 17, "text-anchor": "middle" }, String(part * span)));
  }
  made.push(drawing("line", { class: "axis", x1: EDGE.left, x2: EDGE.left, y1: y(range[1]), y2: y(range[0]) }));
  made.push(drawing("line", { class: "axis", x1: EDGE.left, x2: width - EDGE.right, y1: y(range[0]), y2: y(range[0]) }));
  axes.replaceChildren(...made);
}

function placeTitles(svg, xTitle, yTitle, width, words) {
  svg.setAttribute("width", width);
  xTitle.setAttribute("x", (EDGE.left + width - EDGE.right) / 2);
  xTitle.setAttribute("y", HEIGHT - 4);
  xTitle.setAttribute("text-anchor", "middle");
  yTitle.setAttribute("transform", `translate(11 ${(HEIGHT - EDGE.bottom + EDGE.top) / 2}) rotate(-90)`);
  yTitle.setAttribute("text-anchor", "middle");
  write(xTitle, words.x);
  write(yTitle, words.y);
}
