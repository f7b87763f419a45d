// The network: an onnxruntime-web session whose caches of keys and values belong to one setting of the weights.

/** Thrown by `generate` when the reader has asked for something else meanwhile. */
export class Stopped extends Error {}

export class Network {
  /** `shape`: layers, kvHeads, head, vocabulary. */
  constructor(runtime, session, shape) {
    Object.assign(this, { runtime, session, shape });
  }

  /** `provider`: "wasm", or "webgpu", whose keys and values stay on the graphics card. */
  static async create(runtime, graph, plan, buffer, shape, provider) {
    const onGpu = provider === "webgpu", session = await runtime.InferenceSession.create(new Uint8Array(graph), {
      executionProviders: [provider],
      graphOptimizationLevel: "basic", // measured: "all" is no quicker and needs another copy of the weights
      externalData: [{ path: plan.buffer, data: new Uint8Array(buffer) }],
      preferredOutputLocation: onGpu ? Object.fromEntries(names(shape, "present").map((name) => [name, "gpu-buffer"])) : undefined,
    });
    return new Network(runtime, session, shape);
  }

  /** Feed `ids` after `past` (null: from the start). Gives the logits of the last `rows` positions, and the new past. */
  async feed(ids, weights, past, rows = 1) {
    const { runtime, shape } = this, keep = Array.from({ length: rows }, (_, i) => BigInt(ids.length - rows + i));
    const feeds = {
      ids: new runtime.Tensor("int64", BigInt64Array.from(ids, BigInt), [ids.length]),
      keep: new runtime.Tensor("int64", BigInt64Array.from(keep), [rows]),
      weights: new runtime.Tensor("float32", Float32Array.from(weights), [weights.length]),
    };
    for (const name of names(shape, "past")) {
      feeds[name] = past?.[name.replace("past", "present")]
        ?? new runtime.Tensor("float32", new Float32Array(0), [1, shape.kvHeads, 0, shape.head]);
    }
    const { logits, ...present } = await this.session.run(feeds);
    const all = logits.data, width = shape.vocabulary;
    return { logits: Array.from({ length: rows }, (_, i) => all.subarray(i * width, (i + 1) * width)), past: present };
  }

  /**
   * Answer token by token: `choose(logits)` names each token, `heard(ids, logps)` hears of it. Ends with `end`, which is
   * part of the answer, or after `most` tokens. `start` is what `feed` gave for the prompt; its past is left whole.
   */
  async generate(start, weights, { choose, logp, end, most, heard, stopped }) {
    const ids = [], logps = [];
    let { logits: [logits], past } = start;
    for (;;) {
      const id = choose(logits);
      ids.push(id);
      logps.push(logp(logits, id));
      heard(ids, logps);
      if (id === end || ids.length === most) break;
      const next = await this.feed([id], weights, past);
      if (past !== start.past) forget(past);
      ({ logits: [logits], past } = next);
      if (await stopped()) {
        forget(past);
        throw new Stopped();
      }
    }
    if (past !== start.past) forget(past);
    return { ids, logps };
  }

  /** log pi of each of `ids` after the prompt of `start`, at these weights. */
  async score(start, weights, ids, logp) {
    if (ids.length === 1) return [logp(start.logits[0], ids[0])];
    const { logits, past } = await this.feed(ids.slice(0, -1), weights, start.past, ids.length - 1);
    forget(past);
    return [start.logits[0], ...logits].map((row, place) => logp(row, ids[place]));
  }
}

/** Give back what a past holds on a graphics card; elsewhere there is nothing to do. */
export function forget(past) {
  for (const tensor of Object.values(past ?? {})) if (tensor.location === "gpu-buffer") tensor.dispose();
}

function names({ layers }, which) {
  return Array.from({ length: layers }, (_, layer) => [`${which}_k${layer}`, `${which}_v${layer}`]).flat();
}
