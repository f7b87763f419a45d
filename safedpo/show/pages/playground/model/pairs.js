// Preference pairs: the law of the data, draws from it, wrong safety bits, and the rule that orders them.
// The counterpart of safedpo/finite/pairs.py and safedpo/transform.py. A row is
// { chosen, rejected, chosenUnsafe, rejectedUnsafe, weight }; before the rule, chosen is the more helpful answer.

import { drawCounts } from "./random.js";

export const GROUPS = ["SS", "SU", "US", "UU"];

export function sigmoid(x) {
  return 1 / (1 + Math.exp(-x));
}

/** Every unordered pair of answers (weight 1) with both outcomes of its labels; Bradley-Terry decides who is better. */
export function population(world) {
  const rows = [];
  // Four passes, in the order in which Python lists them: a draw picks a row by its place.
  for (const safer of [0, 1]) {
    for (const reverse of [false, true]) {
      for (let i = 0; i < world.size; i++) {
        for (let j = i + 1; j < world.size; j++) {
          const mixed = world.unsafe[i] !== world.unsafe[j];
          const firstSafer = mixed ? Number(world.unsafe[j]) : 0.5;
          const firstBetter = sigmoid(world.reward[i] - world.reward[j]);
          const share = safer ? 1 - firstSafer : firstSafer;
          const weight = share * (reverse ? 1 - firstBetter : firstBetter);
          if (weight > 0) rows.push(reverse ? row(world, j, i, weight) : row(world, i, j, weight));
        }
      }
    }
  }
  return rows;
}

function row(world, chosen, rejected, weight) {
  const [chosenUnsafe, rejectedUnsafe] = [world.unsafe[chosen], world.unsafe[rejected]];
  return { chosen, rejected, chosenUnsafe, rejectedUnsafe, weight };
}

/** n rows drawn from the population; equal rows are merged, and the total weight stays. */
export function samplePairs(world, n, seed) {
  const rows = population(world);
  const weights = rows.map((one) => one.weight);
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  const counts = drawCounts(weights, n, seed);
  return rows.map((one, i) => ({ ...one, weight: (counts[i] * total) / n })).filter((one) => one.weight > 0);
}

/** The exact law after label noise: each bit of each row is wrong with probability `rate`, independently. */
export function flipBits(rows, rate) {
  if (rate === 0) return rows;
  const flips = [[false, false], [false, true], [true, false], [true, true]];
  return flips.flatMap(([first, second]) =>
    rows.map((one) => ({
      ...one,
      chosenUnsafe: one.chosenUnsafe !== first,
      rejectedUnsafe: one.rejectedUnsafe !== second,
      weight: one.weight * (first ? rate : 1 - rate) * (second ? rate : 1 - rate),
    })),
  );
}

export function groupOf(one) {
  return GROUPS[2 * Number(one.chosenUnsafe) + Number(one.rejectedUnsafe)];
}

/** What a rule does with each group, the more helpful response first. */
export const RULES = {
  safedpo: { SS: "kept", SU: "kept", US: "swapped", UU: "dropped" },
  helpful: { SS: "kept", SU: "kept", US: "kept", UU: "kept" },
  safebetter: { SS: "kept", SU: "kept", US: "dropped", UU: "dropped" },
};

export function applyRule(rows, rule) {
  return rows
    .filter((one) => RULES[rule][groupOf(one)] !== "dropped")
    .map((one) => (RULES[rule][groupOf(one)] === "swapped" ? swapped(one) : one));
}

function swapped(one) {
  return {
    chosen: one.rejected,
    rejected: one.chosen,
    chosenUnsafe: one.rejectedUnsafe,
    rejectedUnsafe: one.chosenUnsafe,
    weight: one.weight,
  };
}

/** The weight of each group before the rule, and of what the rule keeps (swapped ones included), swaps and drops. */
export function countPairs(rows, rule) {
  const counts = { SS: 0, SU: 0, US: 0, UU: 0, kept: 0, swapped: 0, dropped: 0, total: 0 };
  for (const one of rows) {
    const fate = RULES[rule][groupOf(one)];
    counts[groupOf(one)] += one.weight;
    counts[fate] += one.weight;
    if (fate === "swapped") counts.kept += one.weight;
    counts.total += one.weight;
  }
  return counts;
}

/** All the data of a state: before the rule and after it. */
export function makePairs(world, { data, n, seed, noise, rule }) {
  const rows = flipBits(data === "drawn" ? samplePairs(world, n, seed) : population(world), noise);
  return { rows, ordered: applyRule(rows, rule), counts: countPairs(rows, rule) };
}
