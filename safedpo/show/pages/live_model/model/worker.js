// The worker: loads the model, answers a request with the policy and with the reference, and scores the one by the other.
//
// in   { type: "load", base, files, plan, shape, limits, engine, check }
//      { type: "answer", number, request, weights, seed }   seed null: the most probable token each time
//      { type: "stop" }
// out  progress, ready, begun, token, answer, done, stopped, failed; each that belongs to an answer carries its number

import { getFiles, release, unpacked } from "./files.js";
import { readGguf } from "./gguf.js";
import { forget, Network, Stopped } from "./network.js";
import { draw, largest, logTotal, uniform } from "./sampling.js";
import { makeTokenizer } from "./tokenizer.js";
import { fillWeights, readSafetensors } from "./weights.js";

const logp = (logits, id) => logits[id] - logTotal(logits);
const tell = (type, content = {}) => postMessage({ type, ...content });
let network, tokenizer, limits, current = 0, working = Promise.resolve();
let reference = { key: null }; // what the reference has for the last request: its start, and its answer

onmessage = ({ data }) => {
  if (data.type === "load") working = load(data).catch((error) => tell("failed", { message: String(error.message ?? error) }));
  else {
    current = data.number ?? current + 1;
    // One after the other: the session runs one thing at a time.
    if (data.type === "answer") working = working.then(() => answer(data)).catch((error) => failed(data.number, error));
  }
};

function failed(number, error) {
  if (error instanceof Stopped) return tell("stopped", { number });
  tell("failed", { number, message: String(error.message ?? error) });
}

async function load({ base, files, plan, shape, limits: given, engine, check }) {
  const began = performance.now();
  limits = given;
  const provider = engine === "webgpu" ? "webgpu" : "wasm", binary = `engine-${provider}`;
  const wanted = Object.fromEntries(Object.entries(files).filter(([name]) => !name.startsWith("engine-") || name === binary));
  const got = await getFiles(wanted, base, (done, total, kept) => tell("progress", { stage: "files", done, total, kept }));
  tell("progress", { stage: "unpacking" });
  const runtime = await import(new URL(`engine/ort.${provider}.min.mjs`, base).href);
  const threads = self.crossOriginIsolated ? Math.min(4, navigator.hardwareConcurrency || 1) : 1;
  const glue = provider === "webgpu" ? "ort-wasm-simd-threaded.asyncify.mjs" : "ort-wasm-simd-threaded.mjs";
  Object.assign(runtime.env.wasm, {
    numThreads: threads, wasmBinary: await unpacked(got[binary]), wasmPaths: { mjs: new URL(`engine/${glue}`, base).href },
  });
  const gguf = readGguf(got.model);
  tokenizer = makeTokenizer(gguf.values);
  const adapters = Object.keys(files).filter((name) => name.startsWith("adapter-")).map((name) => readSafetensors(got[name]));
  const weights = fillWeights(plan, gguf, got.model, adapters);
  for (const [name, buffer] of Object.entries(got)) if (name !== "graph") release(buffer);
  tell("progress", { stage: "starting" });
  network = await Network.create(runtime, got.graph, plan, weights, shape, provider);
  release(weights); // the session has its own copy; 600 MB must not wait for the garbage collector
  runtime.env.wasm.wasmBinary = undefined;
  tell("progress", { stage: "checking" });
  const gap = await farFrom(check);
  tell("ready", { gap, engine: provider, threads, seconds: (performance.now() - began) / 1000 });
}

/** The largest difference, in nats, between this network's log-probabilities of a stored answer and Python's. */
async function farFrom({ prompt, weights, ids, policy, reference }) {
  const before = tokenizer.prompt(prompt), gaps = [];
  for (const [at, expected] of [[weights, policy], [weights.map(() => 0), reference]]) {
    const start = await network.feed(before, at, null);
    const found = await network.score(start, at, ids, logp);
    forget(start.past);
    gaps.push(...found.map((logp, place) => Math.abs(logp - expected[place])));
  }
  return gaps.some(Number.isNaN) ? Infinity : Math.max(...gaps);
}

async function answer({ number, request, weights, seed }) {
  const stopped = async () => {
    await new Promise((resume) => setTimeout(resume)); // let a newer message in
    return number !== current;
  };
  if (number !== current) throw new Stopped();
  const token = tokenizer.specialIn(request);
  if (token) return tell("failed", { number, reason: "special", token });
  const ids = tokenizer.prompt(request), longest = limits.promptTokens;
  if (ids.length > longest) return tell("failed", { number, reason: "long", tokens: ids.length, longest });
  const began = performance.now(), key = JSON.stringify([request, seed]);
  const draws = (side, at) => {
    const next = seed === null ? null : uniform(seed);
    let first = null;
    return network.generate(at.start, at.weights, {
      choose: (logits) => (next ? draw(logits, next()) : largest(logits)), logp, stopped,
      end: tokenizer.end, most: limits.responseTokens,
      heard: (all, logps) => {
        first ??= performance.now() - began;
        tell("token", { number, side, text: tokenizer.decode(all), count: all.length, first, logp: logps.at(-1) });
      },
    });
  };
  const none = weights.map(() => 0);
  tell("begun", { number, tokens: ids.length });
  const start = await network.feed(ids, weights, null);
  let policy;
  try {
    if (await stopped()) throw new Stopped();
    policy = await draws("policy", { start, weights });
  } finally {
    forget(start.past);
  }
  const seconds = (performance.now() - began) / 1000;
  if (reference.request !== request) {
    forget(reference.start?.past);
    reference = { request, start: await network.feed(ids, none, null) };
    if (await stopped()) throw new Stopped();
  }
  const logps = await network.score(reference.start, none, policy.ids, logp);
  tell("answer", { number, side: "policy", seconds, ...shown(policy.ids), logps: policy.logps, reference: logps });
  if (reference.key !== key) {
    const own = await draws("reference", { start: reference.start, weights: none });
    Object.assign(reference, { key, own });
  }
  tell("answer", { number, side: "reference", ...shown(reference.own.ids), logps: reference.own.logps });
  tell("done", { number });
}

/** An answer's ids, its tokens as text, and the text without white space at its ends. */
function shown(ids) {
  return { ids, pieces: ids.map(tokenizer.piece), text: tokenizer.decode(ids).trim() };
}
