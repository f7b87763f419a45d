// What follows from the state: the world, its optima, the pairs, and the run that trains on them.

import { largestStep, policyOf, startRun, trainStep } from "../model/fit.js";
import { expectedReward, kl, makeWorld, optimalPolicy, tv, unsafeMass } from "../model/optimum.js";
import { makePairs } from "../model/pairs.js";
import { hasMargin, MOST_STEPS } from "../state/state.js";
import { say, shown, written } from "./words.js";

/** Everything that follows from the state, with the run at step 0; `beside` is the same run with delta = 0, or null. */
export function derive(state) {
  const world = makeWorld(state.answers);
  const best = optimalPolicy(world, state.beta);
  const penalty = optimalPolicy(world, state.beta, state.penalty);
  const pairs = makePairs(world, state);
  const beside = state.compare === "yes" && hasMargin(state) ? startRun(world, best, pairs.ordered, { ...state, delta: 0 }) : null;
  return { world, best, penalty, pairs, run: startRun(world, best, pairs.ordered, state), beside };
}

/** At most `count` steps, until the deadline; false once the run has ended. */
export function train(derived, count, deadline = Infinity) {
  for (let k = 0; k < count && performance.now() < deadline; k++) {
    if (derived.run.step >= MOST_STEPS || !trainStep(derived.run)) return false;
    if (derived.beside) trainStep(derived.beside);
  }
  return true;
}

export function policiesOf({ world, penalty, best, run }) {
  return { reference: world.refLogps, penalty, best, trained: policyOf(run) };
}

/** The measures of each policy; null where the policy or the optimum does not exist. */
export function measuresOf(derived) {
  const { world, best } = derived;
  const measure = (logps) => ({
    unsafeMass: logps && unsafeMass(world, logps),
    expectedReward: logps && expectedReward(world, logps),
    klReference: logps && kl(logps, world.refLogps),
    tvOptimum: logps && best && tv(logps, best),
    klOptimum: logps && best && kl(best, logps),
  });
  return Object.fromEntries(Object.entries(policiesOf(derived)).map(([name, logps]) => [name, measure(logps)]));
}

/** What has to be said about the world and the run as they stand. */
export function standingNotices(state, { world, best, run }) {
  const { lang } = state;
  const notices = [];
  const note = (kind, key, filled) => notices.push({ kind, text: say(lang, key, filled) });
  if (world.total === 0) note("correction", "allZero");
  else if (Math.abs(world.total - 1) > 1e-9) note("correction", "normalised", { sum: written(Number(world.total.toFixed(6)), lang) });
  if (!best) note("problem", "infeasible");
  if (run.slots.length === 0) note("problem", "nothingLeft");
  if (run.divergedAt !== null) note("problem", "diverged", { step: run.divergedAt });
  const most = largestStep(run, state);
  if (state.lr > most) note("correction", "overshoot", { lr: shown(most, lang) });
  if (run.step >= MOST_STEPS) note("correction", "finished", { step: MOST_STEPS });
  return notices;
}
