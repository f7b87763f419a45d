// Byte-level BPE from the model file's own tokens and merges: every digit alone, then GPT-2's rule, then the merges.

// Bytes that print stand for themselves; the others get the characters from 256 on (GPT-2's alphabet).
const ALPHABET = (() => {
  let next = 256;
  const prints = (byte) => (byte > 32 && byte < 127) || (byte > 160 && byte !== 173);
  return Array.from({ length: 256 }, (_, byte) => String.fromCodePoint(prints(byte) ? byte : next++));
})();
const BYTE = new Map(ALPHABET.map((character, byte) => [character, byte]));
const SPACE = "\\p{White_Space}";
const WORDS = new RegExp(
  `'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^${SPACE}\\p{L}\\p{N}]+|${SPACE}+(?![^${SPACE}])|${SPACE}+`, "gu");
const CONTROL = 3; // the token type of GGUF for tokens that no text spells

/** `{ encode, specialIn, prompt, decode, piece, end }` for the values of a GGUF header. */
export function makeTokenizer(values) {
  const tokens = values["tokenizer.ggml.tokens"], types = values["tokenizer.ggml.token_type"];
  const ids = new Map(tokens.map((token, id) => [token, id]));
  const ranks = new Map(values["tokenizer.ggml.merges"].map((merge, rank) => [merge, rank]));
  const special = new Set(tokens.filter((_, id) => types[id] === CONTROL)), known = new Map();
  const escaped = [...special].sort((a, b) => b.length - a.length).map((s) => s.replace(/[^\w<>]/g, "\\$&"));
  const cut = new RegExp(`(${escaped.join("|")})`);

  function merged(word) {
    if (known.has(word)) return known.get(word);
    let parts = [...word];
    for (;;) {
      let best = Infinity, where = -1;
      for (let i = 0; i + 1 < parts.length; i++) {
        const rank = ranks.get(`${parts[i]} ${parts[i + 1]}`);
        if (rank < best) [best, where] = [rank, i];
      }
      if (where < 0) break;
      parts.splice(where, 2, parts[where] + parts[where + 1]);
    }
    const found = parts.map((part) => ids.get(part) ?? ids.get("<|endoftext|>"));
    if (known.size < 50_000) known.set(word, found);
    return found;
  }

  function plain(text) {
    const pieces = text.split(/(\p{N})/u).filter(Boolean).flatMap((part) => part.match(WORDS) ?? []);
    const spelled = pieces.map((piece) => Array.from(new TextEncoder().encode(piece), (byte) => ALPHABET[byte]).join(""));
    return spelled.flatMap(merged);
  }

  /** The ids of a text; a special token that the text spells becomes that token, as in Python. */
  const encode = (text) => text.split(cut).filter(Boolean).flatMap((part) => (special.has(part) ? [ids.get(part)] : plain(part)));
  const bytes = (id) => (special.has(tokens[id]) ? [] : Array.from(tokens[id], (character) => BYTE.get(character)));

  return {
    encode,
    /** The first special token that a request spells, or undefined; tokenized, it would end the turn or worse. */
    specialIn: (request) => request.match(cut)?.[0],
    /** The ids of the chat template around a request. */
    prompt: (request) => encode(
      "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n" +
      `<|im_start|>user\n${request}<|im_end|>\n<|im_start|>assistant\n`),
    /** The text of ids; special tokens are left out. */
    decode: (list) => new TextDecoder("utf-8", { ignoreBOM: true }).decode(Uint8Array.from(list.flatMap(bytes))),
    /** One token as it is shown: a special one by its name. */
    piece: (id) => (special.has(tokens[id]) ? tokens[id] : new TextDecoder("utf-8", { ignoreBOM: true }).decode(Uint8Array.from(bytes(id)))),
    end: values["tokenizer.ggml.eos_token_id"],
  };
}
