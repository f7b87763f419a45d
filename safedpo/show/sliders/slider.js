// One slider figure. `stage` is its element, `show` what Python computed: data, layout, moved, values, sentences,
// texts (the written stops of each slider or switch). Nothing is computed here and nothing is animated, so there is nothing
// for prefers-reduced-motion to switch off.
(function (stage, show) {
  const inputs = [...stage.querySelectorAll(".control input")];
  const at = (input) => (input.type === "checkbox" ? Number(input.checked) : Number(input.value));
  const plot = stage.querySelector(".plot");
  const sentence = stage.querySelector(".sentence");
  const state = { moves: [], stop: -1 };  // `moves`: milliseconds from each move to its finished picture, for tests
  let Plotly = null, waiting = false;

  // Row-major number of the stop: the last slider runs fastest, as in Python.
  const place = () => inputs.reduce((flat, input, i) => flat * show.texts[i].length + at(input), 0);

  function words(stop) {
    inputs.forEach((input, i) => {
      if (input.type === "checkbox") return;  // a box says itself whether it is ticked
      const text = show.texts[i][at(input)];
      input.setAttribute("aria-valuetext", text);
      input.closest(".control").querySelector(".value").textContent = text;
    });
    sentence.textContent = show.sentences[stop];
    plot.setAttribute("aria-label", show.sentences[stop]);
    stage.dataset.stop = stop;
    stage.dispatchEvent(new Event("stop"));  // for what else on the stage follows the sliders
  }

  // A frame without redraw costs the page under half the time of Plotly.restyle or Plotly.redraw. Every trace must be
  // named, moved or not: bars that a frame leaves out vanish. It leaves legends alone, so they must not move.
  const traces = show.data.map((_, index) => index);
  const still = { mode: "immediate", frame: { duration: 0, redraw: false }, transition: { duration: 0 } };
  function apply(stop) {
    const data = traces.map(() => ({}));
    show.moved.forEach(([trace, path], k) => { data[trace][path] = show.values[stop][k]; });
    return Plotly.animate(plot, { data, traces }, still);
  }

  async function draw() {
    waiting = false;
    const stop = place();
    if (stop === state.stop) return;
    const begin = performance.now();
    state.stop = stop;
    words(stop);
    // A newer move cancels the drawing of an older one, and says so by a rejection that is no fault.
    if (Plotly && show.moved.length) await apply(stop).catch(() => {});
    state.moves.push(performance.now() - begin);
  }

  inputs.forEach((input) => {
    // Fast drags fire several events a frame: draw once, with the last value.
    input.addEventListener("input", () => {
      if (!waiting) { waiting = true; requestAnimationFrame(draw); }
    });
    // JupyterLab takes the arrow keys for itself unless they stop here.
    input.addEventListener("keydown", (event) => event.stopPropagation());
  });

  async function start() {
    try {
      Plotly = await (window.safedpoPlotly ?? window.Plotly);
      if (!Plotly) throw new Error("plotly.js is not on this page");
    } catch (error) {
      plot.textContent = `The picture cannot be drawn (${error.message}); the sentence below still follows the slider.`;
      plot.classList.add("problem");
      return;
    }
    const settings = { displayModeBar: false, showTips: false, doubleClick: false, responsive: false };
    await Plotly.newPlot(plot, show.data, show.layout, settings);
    state.stop = -1;
    await draw();
    state.moves.length = 0;
    new ResizeObserver(() => plot.clientWidth && Plotly.Plots.resize(plot)).observe(plot);
    stage.dataset.ready = "true";
  }

  (window.safedpoSliders ??= {})[stage.id] = state;
  words(place());
  state.ready = start();
})
