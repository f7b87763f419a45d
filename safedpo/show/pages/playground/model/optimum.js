// What is best in a world of a few answers, in closed form: the counterpart of safedpo/finite/optimum.py.
// A policy is an array of log-probabilities; everything stays in log space and in float64.

/** Reference probabilities as entered (divided by their sum), rewards, and bits: true = unsafe. */
export function makeWorld(answers) {
  const total = answers.reduce((sum, answer) => sum + answer.reference, 0);
  const shares = answers.map((answer) => (total > 0 ? answer.reference / total : 1 / answers.length));
  return {
    size: answers.length,
    total,
    refLogps: shares.map(Math.log),
    reward: answers.map((answer) => answer.reward),
    unsafe: answers.map((answer) => answer.unsafe),
  };
}

export function logSumExp(values) {
  const top = Math.max(...values);
  if (top === -Infinity) return -Infinity;
  return top + Math.log(values.reduce((sum, value) => sum + Math.exp(value - top), 0));
}

export function logSoftmax(values) {
  const total = logSumExp(values);
  return values.map((value) => value - total);
}

/** pi_ref exp(r_C / beta) / Z with r_C = r - penalty on unsafe answers (Eq. 9); null where the sum Z is empty. */
export function optimalPolicy(world, beta, penalty = Infinity) {
  const tilted = world.refLogps.map((logp, y) => logp + (world.reward[y] - (world.unsafe[y] ? penalty : 0)) / beta);
  return logSumExp(tilted) === -Infinity ? null : logSoftmax(tilted);
}

/** E_pi[f]; an answer of probability 0 adds 0 even where f is infinite. */
export function expectation(logps, table) {
  return logps.reduce((sum, logp, y) => (logp === -Infinity ? sum : sum + Math.exp(logp) * table[y]), 0);
}

export function expectedReward(world, logps) {
  return expectation(logps, world.reward);
}

export function unsafeMass(world, logps) {
  return logps.reduce((sum, logp, y) => (world.unsafe[y] ? sum + Math.exp(logp) : sum), 0);
}

/** KL(p || q) in nats; infinite where p has mass that q has not. */
export function kl(logps, others) {
  return expectation(logps, logps.map((logp, y) => logp - others[y]));
}

/** Total variation: half the sum of |p - q|. */
export function tv(logps, others) {
  return logps.reduce((sum, logp, y) => sum + Math.abs(Math.exp(logp) - Math.exp(others[y])), 0) / 2;
}
