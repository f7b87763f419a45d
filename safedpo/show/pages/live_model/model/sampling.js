// Which token comes next, and how probable it was. Logits are float32, sums are float64.

/** mulberry32: uniform numbers in [0, 1) from a 32-bit seed; `safedpo.evaluate.live_hazards` has the same one. */
export function uniform(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** The place of the largest logit, the first where several are. */
export function largest(logits) {
  let best = 0;
  for (let i = 1; i < logits.length; i++) if (logits[i] > logits[best]) best = i;
  return best;
}

/** log sum exp of the logits. */
export function logTotal(logits) {
  const top = logits[largest(logits)];
  let total = 0;
  for (let i = 0; i < logits.length; i++) total += Math.exp(logits[i] - top);
  return top + Math.log(total);
}

/** A token from softmax(logits): the first whose cumulative probability exceeds `luck` in [0, 1). */
export function draw(logits, luck) {
  const total = logTotal(logits);
  let cumulative = 0, last = 0;
  for (let i = 0; i < logits.length; i++) {
    const probability = Math.exp(logits[i] - total);
    cumulative += probability;
    if (cumulative > luck) return i;
    if (probability > 0) last = i;
  }
  return last;
}
