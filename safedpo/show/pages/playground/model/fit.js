// Gradient descent on the weighted sum of a loss over the pairs: the counterpart of safedpo/finite/fit.py.
// The logits start at log pi_ref; `ratio` is log pi - log pi_ref up to a constant.

import { expectedReward, kl, logSoftmax, tv, unsafeMass } from "./optimum.js";
import { sigmoid } from "./pairs.js";

const FLIP_RATE = 0.1; // the label noise that cDPO expects: the default of safedpo.losses.cdpo_loss

/** d loss / d gap, where gap = (chosen - ref_chosen) - (rejected - ref_rejected) and bits = h_rejected - h_chosen. */
export const SLOPES = {
  safedpo: (gap, bits, beta, delta) => -beta * sigmoid(delta * bits - beta * gap),
  ipo: (gap, bits, beta) => 2 * gap - 1 / beta,
  cdpo: (gap, bits, beta) => beta * (sigmoid(beta * gap) - (1 - FLIP_RATE)),
};

/** A learning rate above this overshoots where the loss is most curved: 2 over the largest curvature of the sum. */
export function largestStep({ slots, world }, { loss, beta }) {
  const curvature = loss === "ipo" ? 2 : (beta * beta) / 4; // of one pair, in its gap
  return 2 / (curvature * largestEigenvalue(slots, world.size));
}

/** Of the graph of the pairs (its weighted Laplacian), by power iteration. */
function largestEigenvalue(slots, size) {
  let vector = Array.from({ length: size }, (_, y) => Math.sin(1 + y * y));
  let value = 0;
  for (let k = 0; k < 200; k++) {
    const image = new Array(size).fill(0);
    for (const { chosen, rejected, weight } of slots) {
      const pull = weight * (vector[chosen] - vector[rejected]);
      image[chosen] += pull;
      image[rejected] -= pull;
    }
    value = Math.hypot(...image);
    if (value === 0) return 0;
    vector = image.map((one) => one / value);
  }
  return value;
}

/** Equal rows become one slot. */
function mergedSlots(ordered) {
  const slots = new Map();
  for (const one of ordered) {
    const key = [one.chosen, one.rejected, one.chosenUnsafe, one.rejectedUnsafe].join();
    const slot = slots.get(key) ?? {
      chosen: one.chosen,
      rejected: one.rejected,
      bits: Number(one.rejectedUnsafe) - Number(one.chosenUnsafe),
      weight: 0,
    };
    slot.weight += one.weight;
    slots.set(key, slot);
  }
  return [...slots.values()];
}

/** A run at step 0. `best` is the optimum that its distances are measured to, or null where there is none. */
export function startRun(world, best, ordered, { loss, beta, delta, lr }) {
  const run = {
    world, best, beta, delta, lr, slope: SLOPES[loss],
    slots: mergedSlots(ordered),
    ratio: new Array(world.size).fill(0),
    step: 0,
    divergedAt: null,
    path: { unsafe: [], tv: [], kl: [], reward: [], chosen: [], rejected: [] },
  };
  record(run);
  return run;
}

/** One step for every logit; false, and nothing is changed, once the logits would leave the numbers. */
export function trainStep(run) {
  if (run.divergedAt !== null || run.slots.length === 0) return false;
  const gradient = new Array(run.world.size).fill(0);
  for (const slot of run.slots) {
    const gap = run.ratio[slot.chosen] - run.ratio[slot.rejected];
    const pull = slot.weight * run.slope(gap, slot.bits, run.beta, run.delta);
    gradient[slot.chosen] += pull;
    gradient[slot.rejected] -= pull;
  }
  const moved = run.ratio.map((value, y) => value - run.lr * gradient[y]);
  if (!moved.every(Number.isFinite)) {
    run.divergedAt = run.step + 1;
    return false;
  }
  run.ratio = moved;
  run.step += 1;
  record(run);
  return true;
}

export function policyOf(run) {
  return logSoftmax(run.world.refLogps.map((logp, y) => logp + run.ratio[y]));
}

function record(run) {
  const logps = policyOf(run);
  run.path.unsafe.push(unsafeMass(run.world, logps));
  run.path.tv.push(run.best ? tv(logps, run.best) : NaN);
  run.path.kl.push(run.best ? kl(run.best, logps) : NaN);
  run.path.reward.push(expectedReward(run.world, logps));
  run.path.chosen.push(meanLogps(run.slots, logps, "chosen"));
  run.path.rejected.push(meanLogps(run.slots, logps, "rejected"));
}

/** The weighted mean over the pairs of the log-probability of their chosen or rejected answer, in nats. */
function meanLogps(slots, logps, side) {
  let [sum, total] = [0, 0];
  for (const slot of slots) {
    sum += slot.weight * logps[slot[side]];
    total += slot.weight;
  }
  return sum / total;
}
