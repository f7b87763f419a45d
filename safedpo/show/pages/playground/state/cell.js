// The Python cell that computes what the page shows.

import { hasMargin } from "./state.js";

/** A Python string literal; what cannot be seen, or reorders the text around it, is written as an escape. */
export function pythonText(text) {
  const escaped = JSON.stringify(text).replace(/[\p{C}\p{Zl}\p{Zp}]/gu, (one) => {
    const code = one.codePointAt(0).toString(16);
    return code.length > 4 ? `\\U${code.padStart(8, "0")}` : `\\u${code.padStart(4, "0")}`;
  });
  return escaped;
}

const list = (values) => `[${values.join(", ")}]`;

/** `feasible`: there is a safe optimum; `trained`: the rule leaves pairs; `step`: where the run stands. */
export function pythonCell(state, { world, feasible, trained, step }) {
  const weights = state.answers.map((one) => (world.total > 0 ? one.reference : 1));
  const compare = hasMargin(state) && state.compare === "yes";
  const delta = !hasMargin(state) ? "" : compare ? `delta=${list([state.delta, 0])}, ` : `delta=${state.delta}, `;
  const names = ["FiniteWorld", "expected_reward", "kl", "optimal_policy", "unsafe_mass", feasible ? "tv" : "", trained ? "fit" : ""];
  names.push(state.data === "drawn" ? "sample_pairs" : "population", state.noise > 0 ? "flip_bits" : "");
  const lines = [
    "import torch",
    "",
    `from safedpo.finite import ${names.filter(Boolean).sort().join(", ")}`,
    "",
    `# ${pythonText(state.prompt)}`,
    `labels = ${list(state.answers.map((one) => pythonText(one.text)))}`,
    `weights = torch.tensor(${list(weights)}, dtype=torch.float64)`,
    `reward = ${list(state.answers.map((one) => one.reward))}`,
    `unsafe = ${list(state.answers.map((one) => (one.unsafe ? "True" : "False")))}`,
    "world = FiniteWorld((weights / weights.sum()).log()[None], [reward], [unsafe], labels=tuple(labels))",
    "",
    state.data === "drawn" ? `pairs = sample_pairs(world, n=${state.n}, seed=${state.seed})` : "pairs = population(world)",
  ];
  if (state.noise > 0) lines.push(`pairs = flip_bits(pairs, ${state.noise})`);
  lines.push(
    `pairs = pairs.transform("${state.rule}")`,
    "",
    `policies = {"reference": world.ref_logps, "pi_C": optimal_policy(world, ${state.beta}, penalty=${state.penalty})}`,
  );
  if (feasible) lines.push(`policies["pi*"] = optimal_policy(world, ${state.beta})`);
  else lines.push("# There is no pi*: no safe answer has any reference probability.");
  if (trained) {
    // Python's fit measures the distance to pi* as it goes, and refuses a world that has none.
    if (!feasible) {
      lines.push(
        "# fit measures distances to pi*: here it gets a world without bits. The pairs carry their own, so training is the same.",
        "table = FiniteWorld(world.ref_logps, world.reward, torch.zeros_like(world.unsafe))",
      );
    }
    lines.push(
      "run = fit(",
      `    ${feasible ? "world" : "table"}, pairs, loss="${state.loss}", beta=${state.beta}, ${delta}lr=${state.lr}, ` +
        `steps=${step}, record=[${step}]`,
      ")",
      'policies["trained"] = run.policy[0, 0, 0]',
    );
    if (compare) lines.push('policies["trained, delta 0"] = run.policy[0, 1, 0]');
  } else {
    lines.push("# There is no run: the rule drops every pair.");
  }
  lines.push(
    "",
    "for name, logps in policies.items():",
    '    numbers = f"unsafe mass {unsafe_mass(world, logps).item():.6g}, reward {expected_reward(world, logps).item():.6g}"',
    '    numbers += f", KL to the reference {kl(logps, world.ref_logps).item():.6g}"',
    ...(feasible ? ['    numbers += f", TV to pi* {tv(logps, policies[\'pi*\']).item():.6g}"'] : []),
    '    print(f"{name}: {numbers}")',
  );
  return lines.join("\n") + "\n";
}
