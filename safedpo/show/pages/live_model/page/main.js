// The page: controls, the worker's messages, and what is shown. See ../model/worker.js for the messages.

import { makeScorer } from "../model/scorer.js";
import { Session } from "./session.js";
import { blendError, fromFragment, isSeed, label, marginStops, toFragment, weightsAt } from "./settings.js";
import { engines, isMemory, supportProblem } from "./support.js";
import { number, say, speak, spoken } from "./texts.js";
import { byId, hazardText, scoreText, showAnswer, showHazards, showSpeed, showText, showTokens, visible, walkTokens } from "./view.js";

const WAIT = 120; // ms after the last move of a slider
const CLOSE = 1e-3; // nats between the page and Python
let manifest, scorer, session, stops, ready = null, timer, asked = null, shown = {};

const delta = () => stops[Number(byId("delta").value)];
const strength = () => Number(byId("strength").value);
const sampled = () => document.querySelector("input[name=decoding]:checked").value === "sampled";

function problem(text) {
  byId("problem").textContent = text;
  byId("problem").hidden = !text;
}

/** Everything that is words, in the language spoken. */
function write() {
  document.documentElement.lang = spoken();
  document.title = `SafeDPO: ${say("title")}`;
  const { from, to } = manifest?.hazards ?? {};
  for (const one of document.querySelectorAll("[data-text]")) one.textContent = say(one.dataset.text, { from, to });
  byId("language").textContent = say("other");
  byId("language").lang = spoken() === "de" ? "en" : "de";
  if (!manifest) return;
  byId("home").hidden = !manifest.home;
  if (manifest.home) byId("home").href = manifest.home;
  byId("load-what").textContent = say("loadWhat", { size: megabytes(fetched().reduce((sum, file) => sum + file.bytes, 0)) });
  for (const option of byId("engine").options) option.textContent = say(option.value);
  byId("example").options[0].textContent = say("own");
  document.querySelector("[data-text=about1]").textContent = say("about1", { deltas: manifest.deltas.join(", "), beta: manifest.beta, pairs: manifest.pairs });
  showHazards(manifest.hazards, tryHazard);
  if (ready) tellReady();
  move();
  for (const [side, answer] of Object.entries(shown)) show(side, answer);
}

const fetched = () => Object.entries(manifest.files)
  .filter(([name]) => !name.startsWith("engine-") || name === `engine-${byId("engine").value}`).map(([, file]) => file);
const megabytes = (bytes) => Math.ceil(bytes / 1e6);

function tellReady() {
  byId("status").textContent = say("ready", ready);
  byId("versions").textContent = say("versions", {
    engine: manifest.engine, provider: ready.engine, threads: String(ready.threads), version: manifest.version, ...manifest.fingerprints,
  });
}

/** Write what the sliders mean. */
function move() {
  const { deltas, beta, blends } = manifest;
  byId("delta-value").textContent = String(delta());
  byId("strength-value").textContent = number(strength());
  byId("setting").textContent = label(delta(), strength(), deltas, beta);
  byId("setting-error").textContent = blendError(delta(), deltas, blends);
  byId("policy-name").textContent = `${say("policy")}, Δ = ${delta()}${strength() === 1 ? "" : `, ${say("strength")} ${number(strength())}`}`;
  byId("delta").setAttribute("aria-valuetext", `${delta()}: ${byId("setting").textContent}`);
}

/** A control moved: after an answer has been asked for once, the same request is answered anew. */
function moved() {
  move();
  clearTimeout(timer);
  if (asked) timer = setTimeout(ask, WAIT);
}

function ask() {
  clearTimeout(timer);
  const request = byId("request").value.trim(), seed = sampled() ? Number(byId("seed").value) : null;
  problem(request ? (seed === null || (isSeed(seed) && byId("seed").value.trim()) ? "" : say("badSeed")) : say("empty"));
  if (!byId("problem").hidden) return;
  const same = asked?.request === request && asked.seed === seed;
  asked = { request, seed, delta: delta(), strength: strength() };
  history.replaceState(null, "", toFragment({ prompt: request, ...asked }));
  byId("answers").hidden = false;
  byId("stop").disabled = false;
  byId("stored-hazard").textContent = hazardText(manifest.hazards, request);
  shown = same && shown.reference ? { reference: shown.reference } : {};
  if (!shown.reference) showText("reference", "", false);
  showText("policy", "", true);
  showTokens(null);
  byId("status").textContent = say("answering");
  byId("answers").dataset.done = "";
  session.ask(request, weightsAt(asked.delta, asked.strength, manifest.deltas), seed);
}

function show(side, answer) {
  showAnswer(side, answer.text, answer.score);
  if (side === "policy") showTokens(answer, manifest.beta);
}

function halt(text) {
  byId("stop").disabled = true;
  for (const side of ["policy", "reference"]) byId(`${side}-said`).setAttribute("aria-busy", "false");
  byId("status").textContent = text;
}

const on = {
  progress({ stage, done, total, kept }) {
    byId("bar").hidden = false;
    if (stage === "files") byId("bar").value = (0.8 * done) / total;
    else byId("bar").value = { unpacking: 0.82, starting: 0.9, checking: 0.96 }[stage];
    const words = say(stage === "files" && kept ? "kept" : stage, { done: megabytes(done ?? 0), total: megabytes(total ?? 0) });
    if (byId("status").textContent !== words) byId("status").textContent = words;
  },
  ready(told) {
    if (!(told.gap <= CLOSE)) return on.failed({ message: say("wrong", { gap: told.gap }) });
    ready = told;
    byId("loading").hidden = true;
    byId("controls").hidden = byId("hazards").hidden = false;
    document.body.dataset.ready = told.engine;
    Object.assign(document.body.dataset, { seconds: told.seconds, gap: told.gap, threads: told.threads });
    tellReady();
    byId("request").focus();
  },
  token({ number: which, side, text, count, first }) {
    if (which !== session.number) return;
    showText(side, text, true);
    if (side === "policy") asked.first = first / 1000;
    else if (count === 1) byId("status").textContent = say("answeringReference");
  },
  answer({ number: which, side, ...answer }) {
    if (which !== session.number) return;
    shown[side] = { ...answer, score: scorer.score(asked.request, answer.text) };
    show(side, shown[side]);
    if (side === "policy") showSpeed(asked.first, answer.ids.length, answer.seconds);
  },
  done({ number: which }) {
    if (which !== session.number) return;
    halt(say("done", { policy: scoreText(shown.policy.score), reference: scoreText(shown.reference.score) }));
    byId("answers").dataset.done = String(which);
  },
  failed({ number: which, message, reason, token, tokens, longest }) {
    if (which !== undefined && which !== session.number) return;
    if (!ready && session.engine === "webgpu") {
      start("wasm");
      problem(say("gpuFailed", { message }));
      return;
    }
    const asked = { long: { tokens, longest }, special: { token } }[reason];
    const text = asked ? say(reason, asked) : isMemory(message) ? say("memory") : say("failed", { message: visible(message) });
    problem(text);
    halt("");
    byId("bar").hidden = true;
    byId("load").disabled = false;
  },
};

function start(engine) {
  session?.end();
  byId("load").disabled = true;
  problem("");
  session = new Session(manifest, engine, on);
  session.load();
}

function tryHazard(prompt, seed) {
  byId("request").value = byId("example").value = prompt;
  byId("seed").value = String(seed);
  document.querySelector("input[value=sampled]").checked = true;
  byId("delta").value = String(stops.indexOf(manifest.hazards.from));
  byId("strength").value = "1";
  move();
  ask();
  byId("answers").scrollIntoView({ block: "nearest" });
  byId("delta").focus({ preventScroll: true });
}

function fill(state) {
  const prompts = manifest.hazards.prompts.map((one) => one.prompt);
  byId("example").append(new Option("", ""), ...prompts.map((prompt) => new Option(visible(prompt), prompt)));
  byId("request").value = state.prompt ?? prompts[0];
  byId("example").value = prompts.includes(byId("request").value) ? byId("request").value : "";
  byId("delta").max = String(stops.length - 1);
  byId("delta").value = String(stops.indexOf(state.delta ?? manifest.hazards.to));
  byId("strength").value = String(state.strength ?? 1);
  if (state.seed !== undefined) {
    byId("seed").value = String(state.seed);
    document.querySelector("input[value=sampled]").checked = true;
  }
  byId("ticks").replaceChildren(...manifest.deltas.map((stop) => {
    const tick = document.createElement("span");
    tick.textContent = String(stop);
    tick.style.left = `${(100 * stops.indexOf(stop)) / (stops.length - 1)}%`;
    return tick;
  }));
}

function listen() {
  byId("load").addEventListener("click", () => start(byId("engine").value));
  byId("engine").addEventListener("change", write);
  byId("controls").addEventListener("submit", (event) => {
    event.preventDefault();
    ask();
  });
  byId("stop").addEventListener("click", () => {
    session.stop();
    asked = null;
    halt(say("stopped"));
  });
  for (const name of ["delta", "strength"]) byId(name).addEventListener("input", moved);
  for (const radio of document.querySelectorAll("input[name=decoding]")) radio.addEventListener("change", moved);
  byId("seed").addEventListener("input", () => {
    document.querySelector("input[value=sampled]").checked = true;
    moved();
  });
  byId("example").addEventListener("change", () => {
    if (!byId("example").value) return byId("request").focus();
    byId("request").value = byId("example").value;
    return ask();
  });
  byId("request").addEventListener("input", () => (byId("example").value = ""));
  byId("tokens").addEventListener("keydown", walkTokens);
}

async function open() {
  speak(navigator.language.startsWith("de") ? "de" : "en");
  problem("");
  byId("language").addEventListener("click", () => {
    speak(spoken() === "de" ? "en" : "de");
    write();
  });
  write();
  const missing = supportProblem();
  if (missing) return problem(missing);
  const read = (name) => fetch(new URL(`../${name}`, import.meta.url)).then((response) => {
    if (!response.ok) throw new Error(`${name}: ${response.status}`);
    return response.json();
  });
  let household;
  [manifest, household] = await Promise.all([read("manifest.json"), read("household.json")]);
  scorer = makeScorer(household);
  stops = marginStops(manifest.deltas);
  for (const engine of await engines()) byId("engine").append(new Option("", engine));
  fill(fromFragment(location.hash, stops));
  listen();
  byId("loading").hidden = false;
  return write();
}

open().catch((error) => problem(say("failed", { message: visible(String(error.message ?? error)) })));
