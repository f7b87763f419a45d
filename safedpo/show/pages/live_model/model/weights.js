// The model's own files -> the one float32 buffer that the graph names as its external data, as the plan says.

import { unpackRows } from "./gguf.js";

/** A safetensors file in bfloat16: name -> `{ shape, bits }`, the bits being the upper halves of float32 numbers. */
export function readSafetensors(buffer) {
  const length = Number(new DataView(buffer).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 8, length)));
  return (name) => {
    const found = header[name];
    if (found?.dtype !== "BF16") throw new Error(`the adapter holds no bfloat16 tensor ${name}`);
    const [from, to] = found.data_offsets;
    return { shape: found.shape, bits: new Uint16Array(buffer.slice(8 + length + from, 8 + length + to)) };
  };
}

/** Fill the buffer of `plan` from the model (`gguf` as read, its `file`) and the adapters, the SFT adapter last. */
export function fillWeights(plan, gguf, file, adapters) {
  const buffer = new ArrayBuffer(plan.bytes);
  for (const tensor of plan.tensors) {
    const out = new Float32Array(buffer, tensor.offset, tensor.shape.reduce((a, b) => a * b, 1));
    if (tensor.kind === "lora_A") stackRows(tensor.modules, adapters, new Uint32Array(buffer, tensor.offset, out.length));
    else if (tensor.kind === "lora_B") placeBlocks(tensor, adapters, new Uint32Array(buffer, tensor.offset, out.length));
    else baseRows(tensor, gguf, file, out);
  }
  return buffer;
}

function baseRows(tensor, gguf, file, out) {
  let start = 0;
  for (const name of tensor.tensors) {
    const found = gguf.tensors[name];
    unpackRows(file, found, out.subarray(start), /attn_[qk]\./.test(name) ? halvesApart : undefined);
    start += found.rows * found.columns;
  }
}

// GGUF keeps the two halves of a head's rotation as neighbours (head, i, half); the graph wants (head, half, i), i < 32.
function halvesApart(row) {
  const within = row & 63;
  return (row - within) | ((within & 1) << 5) | (within >> 1);
}

// A': the rows of every module, and within it of every adapter, one below the other.
function stackRows(modules, adapters, out) {
  let to = 0;
  for (const module of modules) {
    for (const adapter of adapters) for (const bits of adapter(`${module}.lora_A.weight`).bits) out[to++] = bits << 16;
  }
}

// B': block diagonal; a module's rows meet the columns of its own ranks alone, the adapters side by side.
function placeBlocks({ modules, shape }, adapters, out) {
  const width = shape[1], ranks = width / modules.length;
  let top = 0;
  modules.forEach((module, place) => {
    let left = place * ranks, rows = 0;
    for (const adapter of adapters) {
      const { shape: [height, rank], bits } = adapter(`${module}.lora_B.weight`);
      for (let i = 0; i < bits.length; i++) {
        out[(top + Math.floor(i / rank)) * width + left + (i % rank)] = bits[i] << 16;
      }
      left += rank;
      rows = height;
    }
    top += rows;
  });
}
