// The draws of torch.multinomial on a CPU, so that a seed means the same pairs here and in Python.

/** The Mersenne Twister mt19937 (Matsumoto and Nishimura 1998), as torch.Generator().manual_seed(seed) runs it. */
export function mersenneTwister(seed) {
  const state = new Uint32Array(624);
  state[0] = seed >>> 0;
  for (let i = 1; i < 624; i++) {
    state[i] = Math.imul(1812433253, state[i - 1] ^ (state[i - 1] >>> 30)) + i;
  }
  let place = 624;
  const refill = () => {
    for (let i = 0; i < 624; i++) {
      const mixed = (state[i] & 0x80000000) | (state[(i + 1) % 624] & 0x7fffffff);
      state[i] = state[(i + 397) % 624] ^ (mixed >>> 1) ^ (mixed & 1 ? 0x9908b0df : 0);
    }
    place = 0;
  };
  return () => {
    if (place === 624) refill();
    let y = state[place++];
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    return (y ^ (y >>> 18)) >>> 0;
  };
}

/** How often each index is drawn in n draws with replacement by these weights; n is at least 2. */
export function drawCounts(weights, n, seed) {
  const sums = [];
  weights.reduce((sum, weight, i) => (sums[i] = sum + weight), 0);
  const total = sums.at(-1);
  const next = mersenneTwister(seed);
  const counts = new Array(weights.length).fill(0);
  for (let draw = 0; draw < n; draw++) {
    const high = next() & 0x1fffff; // of 64 bits torch keeps the lowest 53
    const uniform = (high * 2 ** 32 + next()) * 2 ** -53;
    let [left, right] = [0, weights.length - 1];
    while (left < right) {
      const middle = (left + right) >> 1;
      if (sums[middle] / total < uniform) left = middle + 1;
      else right = middle;
    }
    counts[left] += 1;
  }
  return counts;
}
