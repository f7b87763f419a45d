// The worker that holds the model, and what it tells. `on`: functions by the type of a message.

export class Session {
  /** Start a worker on `manifest` with an engine; nothing is fetched before `load`. */
  constructor(manifest, engine, on) {
    this.worker = new Worker(new URL("../model/worker.js", import.meta.url), { type: "module" });
    this.worker.onmessage = ({ data }) => on[data.type]?.(data);
    this.worker.onerror = (event) => on.failed({ message: event.message || "the worker stopped" });
    Object.assign(this, { manifest, engine, number: 0 });
  }

  load() {
    const { files, plan, shape, limits, hazards: { check }, deltas } = this.manifest, base = new URL("..", import.meta.url).href;
    const weights = deltas.map((delta) => Number(delta === check.delta));
    this.worker.postMessage({ type: "load", base, files, plan, shape, limits, engine: this.engine, check: { ...check, weights } });
  }

  /** Ask; what the worker still does for an earlier number ends within a token. `seed` null: no sampling. */
  ask(request, weights, seed) {
    this.worker.postMessage({ type: "answer", number: ++this.number, request, weights, seed });
  }

  stop() {
    this.worker.postMessage({ type: "stop", number: ++this.number });
  }

  end() {
    this.worker.terminate();
  }
}
