// What the page needs of a browser; said in a sentence where something is missing.

import { say } from "./texts.js";

// The smallest module that uses a vector: (func (result v128) i32.const 0, i8x16.splat, i8x16.popcnt)
const SIMD = Uint8Array.of(0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15, 253, 98, 11);
const LEAST_MEMORY = 2; // GB; browsers say 0.25, 0.5, 1, 2, 4 or 8, or nothing

/** Why the model cannot run here, or null. */
export function supportProblem() {
  if (!globalThis.WebAssembly?.validate || !WebAssembly.validate(SIMD)) return say("simd");
  for (const what of ["Worker", "DecompressionStream", "BigInt64Array"]) if (!(what in globalThis)) return say("old", { what });
  if (navigator.deviceMemory < LEAST_MEMORY) return say("memory");
  return null;
}

/** True for what an engine says when it got no memory. */
export const isMemory = (message) => /allocat|out of memory|bad_alloc|RangeError/i.test(message);

/** The engines that this browser has, the quickest first. */
export async function engines() {
  try {
    const adapter = await navigator.gpu?.requestAdapter();
    const software = adapter?.info?.isFallbackAdapter ?? adapter?.isFallbackAdapter;
    if (adapter && !software && adapter.limits.maxStorageBufferBindingSize >= 128 * 2 ** 20) return ["webgpu", "wasm"];
  } catch {
    // no WebGPU then
  }
  return ["wasm"];
}
