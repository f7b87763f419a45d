// A GGUF file: its metadata, and its tensors as rows of float32. Only the formats of the shipped model are read.
// Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md

const STRING = 8, ARRAY = 9;
const WIDTH = [1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8]; // bytes of a number, by its type
const F32 = 0, Q4_1 = 3, Q8_0 = 8;
const BLOCK = 32;

// float16 bits -> number, for all 65,536 of them
const HALF = Float32Array.from({ length: 65536 }, (_, bits) => {
  const sign = bits >> 15 ? -1 : 1, exponent = (bits >> 10) & 31, fraction = bits & 1023;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : fraction * 2 ** -24);
});

/** Read the header of a GGUF file: `{ values, tensors }`; a tensor is `{ columns, rows, type, offset }`. */
export function readGguf(buffer) {
  const view = new DataView(buffer), text = new TextDecoder();
  let at = 4;
  const uint32 = () => view.getUint32((at += 4) - 4, true);
  const uint64 = () => Number(view.getBigUint64((at += 8) - 8, true));
  const string = () => {
    const length = uint64();
    at += length;
    return text.decode(new Uint8Array(buffer, at - length, length));
  };
  function number(type) {
    const place = at;
    at += WIDTH[type];
    if (type === 4) return view.getUint32(place, true);
    if (type === 5) return view.getInt32(place, true);
    if (type === 6) return view.getFloat32(place, true);
    return undefined; // of no use here
  }
  function value(type) {
    if (type === STRING) return string();
    if (type !== ARRAY) return number(type);
    const inner = uint32(), count = uint64();
    return Array.from({ length: count }, () => value(inner));
  }
  if (view.getUint32(0, true) !== 0x46554747) throw new Error("the model's file is no GGUF file");
  uint32(); // the version of the format
  const tensorCount = uint64(), valueCount = uint64(), values = {}, tensors = {};
  for (let i = 0; i < valueCount; i++) {
    const key = string();
    values[key] = value(uint32());
  }
  for (let i = 0; i < tensorCount; i++) {
    const name = string(), shape = Array.from({ length: uint32() }, uint64);
    const type = uint32(), offset = uint64();
    tensors[name] = { columns: shape[0], rows: shape[1] ?? 1, type, offset };
  }
  const alignment = values["general.alignment"] ?? 32, start = Math.ceil(at / alignment) * alignment;
  for (const tensor of Object.values(tensors)) tensor.offset += start;
  return { values, tensors };
}

/** Unpack all rows of a tensor into `out`, row r to row `place(r)`. */
export function unpackRows(buffer, tensor, out, place = (row) => row) {
  const unpack = { [F32]: plainRow, [Q4_1]: row4, [Q8_0]: row8 }[tensor.type];
  if (!unpack) throw new Error(`the model's file holds weights of a format that is not read here: ${tensor.type}`);
  const bytes = new Uint8Array(buffer), blocks = tensor.columns / BLOCK;
  const length = { [F32]: 4 * tensor.columns, [Q4_1]: 20 * blocks, [Q8_0]: 34 * blocks }[tensor.type];
  for (let row = 0; row < tensor.rows; row++) {
    unpack(bytes, tensor.offset + row * length, out, place(row) * tensor.columns, tensor.columns);
  }
}

// scale d and minimum m (float16), then 16 bytes: the low halves are the first 16 numbers q, the high ones the rest; d q + m
function row4(bytes, from, out, to, columns) {
  for (const end = to + columns; to < end; to += BLOCK, from += 20) {
    const scale = HALF[bytes[from] | (bytes[from + 1] << 8)], minimum = HALF[bytes[from + 2] | (bytes[from + 3] << 8)];
    for (let i = 0; i < 16; i++) {
      const pair = bytes[from + 4 + i];
      out[to + i] = scale * (pair & 15) + minimum;
      out[to + 16 + i] = scale * (pair >> 4) + minimum;
    }
  }
}

// scale d (float16), then 32 signed bytes q; d q
function row8(bytes, from, out, to, columns) {
  for (const end = to + columns; to < end; to += BLOCK, from += 34) {
    const scale = HALF[bytes[from] | (bytes[from + 1] << 8)];
    for (let i = 0; i < BLOCK; i++) out[to + i] = scale * ((bytes[from + 2 + i] << 24) >> 24);
  }
}

function plainRow(bytes, from, out, to, columns) {
  const view = new DataView(bytes.buffer, bytes.byteOffset + from);
  for (let i = 0; i < columns; i++) out[to + i] = view.getFloat32(4 * i, true);
}
