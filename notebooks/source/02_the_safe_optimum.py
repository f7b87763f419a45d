# %% [markdown]
# # 02 · The safe optimum
#
# Notebook 01 ended with a policy that had learnt what people liked, hazards included. Here we forbid the hazards. Not on
# average, and not for a price: an unsafe answer gets probability zero. The surprise is that the problem becomes no harder.
# The optimum is still one line, and everything about it can be checked as a number.
#
# **Afterwards you can**
# - tell the hard constraint from a budget for expected cost, and say what the budget buys;
# - derive the safe optimum, and name the one assumption it needs;
# - compute how far a finite penalty $C$ stays from it, and which $C$ brings it as near as you like;
# - put a price on a reference that hardly ever says anything safe.
#
# **Time** about 25 minutes. **You need** the Gibbs identity of notebook 01.
#
# <!-- links -->

# %%
# SET-UP

# %% [markdown]
# ## 1 Safe on average, or safe
#
# Every answer has a cost $c(x, y)$; it is **unsafe** where $c > 0$, which we also write $h = 1$. Two ways to ask for
# safety:
#
# $$
# \text{on average:} \quad \mathbb{E}_{y \sim \pi}[c(x, y)] \le 0
# \qquad\qquad
# \text{hard:} \quad c(x, y) \le 0 \;\text{ for every } y \text{ with } \pi(y \mid x) > 0 .
# $$
#
# Safe RLHF, C-DPO and others solve the first, SafeDPO the second. In our world the careful answers have *negative* cost:

# %%
from safedpo.finite import expectation, six_answers

world = six_answers()
for label, c, h in zip(world.labels, world.cost[0], world.unsafe[0], strict=True):
    print(f"{label:22} cost {c:+.1f}   {'UNSAFE' if h else ''}")
print(f"expected cost of the reference: {expectation(world.ref_logps, world.cost).item():+.3f}")

# %% [markdown]
# **Predict.** We maximise reward minus KL subject to $\mathbb{E}[c] \le 0$. How much probability do the two hazardous
# answers get?

# %%
predict("average_is_fine")

# %% [markdown]
# The best policy under the budget is a tilt by $r - \lambda c$, with the multiplier $\lambda \ge 0$ that makes the budget
# just suffice:
#
# $$
# \pi_\lambda(y) \propto \pi_{\mathrm{ref}}(y) \, e^{(r(y) - \lambda c(y)) / \beta} ,
# \qquad \mathbb{E}_{\pi_\lambda}[c] = 0 .
# $$
#
# The expected cost falls as $\lambda$ grows, so halving an interval finds it.

# %%
from safedpo.finite import expectation, expected_reward, optimal_policy, six_answers, unsafe_mass

world = six_answers()


def tilted(lam, beta):
    return (world.ref_logps + (world.reward - lam * world.cost) / beta).log_softmax(-1)


def within_budget(beta):
    """The optimum under E[c] <= 0."""
    low, high = 0.0, 50.0
    for _ in range(100):
        lam = (low + high) / 2
        low, high = (lam, high) if expectation(tilted(lam, beta), world.cost) > 0 else (low, lam)
    return tilted(lam, beta)


costs = [expectation(tilted(lam / 10, 0.5), world.cost).item() for lam in range(50)]
assert costs == sorted(costs, reverse=True)  # the expected cost falls as the multiplier grows

# %%
budget, hard = within_budget(0.5), optimal_policy(world, 0.5)
assert abs(expectation(budget, world.cost).item()) < 1e-12  # on average nothing is wrong
assert unsafe_mass(world, budget) > 0.2  # and more than one answer in five is hazardous
assert unsafe_mass(world, hard) == 0 and expected_reward(world, hard) < expected_reward(world, budget)
harm = [unsafe_mass(world, policy).item() for policy in (budget, hard)]
print(f"unsafe mass {harm[0]:.3f} within the budget, {harm[1]:.0f} under the hard constraint")
assert ledger_row("dual-tight").holds  # the tilt that just meets a budget is the optimum

# %%
from safedpo.show import Stops, slider
from safedpo.show.figures.policies import policies

betas = [0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10]


def both(beta):
    found = {"expected cost ≤ 0": within_budget(beta), "hard constraint": optimal_policy(world, beta)}
    facts = {name: {"expected reward": expected_reward(world, p).item()} for name, p in found.items()}
    bars = {name: p[0].exp().tolist() for name, p in found.items()}
    return policies(world.labels, world.unsafe[0].tolist(), bars, facts=facts, setting=f"At β = {beta:g}")


for beta in betas:
    budget, hard = within_budget(beta), optimal_policy(world, beta)
    assert unsafe_mass(world, budget) > 0.2  # harmless for no β
    assert expected_reward(world, hard) < expected_reward(world, budget)  # and safety is free for none
slider(both, Stops("β", betas, start=0.5))

# %% [markdown]
# The hard constraint is not free: it gives up some reward, and the slider shows how much. What it buys is a statement
# about *every* answer.

# %% [markdown]
# ## 2 One line again
#
# Write the constraint into the reward (the paper's Eq. 8):
#
# $$
# r_c(x, y) = \begin{cases} r(x, y) & \text{if } c(x, y) \le 0, \\ -\infty & \text{otherwise.} \end{cases}
# $$
#
# A policy with any unsafe mass now has the value $-\infty$, so the constrained problem is an unconstrained one, and the
# algebra of notebook 01 goes through on the safe answers $Y_s$ alone. For every $\pi$ that lives on $Y_s$,
#
# $$
# \mathbb{E}_\pi[r] - \beta \, \mathrm{KL}(\pi \,\|\, \pi_{\mathrm{ref}})
# = \beta \log Z_s - \beta \, \mathrm{KL}(\pi \,\|\, \pi^\ast) ,
# \qquad Z_s(x) = \sum_{y \in Y_s} \pi_{\mathrm{ref}}(y \mid x) \, e^{r(x, y)/\beta} ,
# $$
#
# with the optimum (Eq. 9)
#
# $$
# \pi^\ast(y \mid x) = \frac{\pi_{\mathrm{ref}}(y \mid x) \, e^{r_c(x, y)/\beta}}{Z_s(x)} ,
# $$
#
# and $e^{-\infty} = 0$: exactly zero for every unsafe answer, for every $\beta$.
#
# **Predict.** Compared with the optimum of DPO, what happens to the *ratios* between safe answers?

# %%
predict("ratio_of_safe")

# %% [markdown]
# **Exercise 1.** Write the safe policy. Give log-probabilities, $-\infty$ where an answer is forbidden.


# %%
def safe_policy(ref_logps, reward, unsafe, beta):
    """log π*(y|x): tables (P, A) of log π_ref, reward and flags (True = unsafe), β > 0 -> (P, A)."""
    ### BEGIN SOLUTION
    scores = (ref_logps + reward / beta).masked_fill(unsafe, -math.inf)
    return scores.log_softmax(-1)
    ### END SOLUTION


# %%
check("safe_policy", safe_policy)

# %% [markdown]
# Both sides of the identity, for a thousand random safe policies. The ledger repeats it on random worlds, and lets
# SciPy's optimiser, which has never seen the formula, look for something better.

# %%
from safedpo.finite import kl, log_partition, optimal_policy, six_answers

world, beta = six_answers(), 0.5
noise = torch.randn(1000, 1, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
safe = noise.masked_fill(world.unsafe, -math.inf).log_softmax(-1)
best, log_z = optimal_policy(world, beta), log_partition(world, beta)

left = (safe.exp() * world.reward).sum(-1) - beta * kl(safe, world.ref_logps)
right = beta * log_z - beta * kl(safe, best)

residual, row = (left - right).abs().max().item(), ledger_row("gibbs-identity")
print(f"identity: here {residual:.1e}, ledger {row.residual:.1e} (allowed {row.tolerance:.0e})")
assert residual <= row.tolerance and row.holds
assert ledger_row("optimum-scipy").holds and ledger_row("optimum-random").holds
assert (left < beta * log_z).all() and (best.exp()[world.unsafe] == 0).all()
shift = (best - optimal_policy(world, beta, penalty=0.0))[~world.unsafe]  # against the optimum of DPO
assert torch.allclose(shift, shift[0])  # one factor for all safe answers: their ratios are unchanged

# %% [markdown]
# ## 3 The one assumption
#
# Everything above needs $Z_s(x) > 0$: some safe answer must have positive reference mass. The paper asks for a little
# more (Assumption 4.1): there is a $\delta > 0$ with
#
# $$
# \sum_{y \in Y_s(x)} \pi_{\mathrm{ref}}(y \mid x) \ge \delta \qquad \text{for every prompt } x .
# $$
#
# We call $\delta$ the **safe support**. A model can be trained away from what it says, not towards what it cannot say.
#
# **Predict.** What is the optimum at a prompt whose answers are all unsafe?

# %%
predict("no_safe_answer")

# %%
from safedpo.finite import FiniteWorld, InfeasiblePromptError, optimal_policy, six_answers, unsafe_mass

world = six_answers()
two_prompts = FiniteWorld(
    world.ref_logps.expand(2, 6),
    world.reward.expand(2, 6),
    torch.stack([world.unsafe[0], torch.ones(6, dtype=torch.bool)]),
)
try:
    optimal_policy(two_prompts, 0.5)
except InfeasiblePromptError as error:
    print(error)
    assert error.prompt == 1
else:
    raise AssertionError("an optimum was found where there is none")
finite = optimal_policy(two_prompts, 0.5, penalty=1000.0)  # this has an optimum, and it is no help
assert torch.isclose(unsafe_mass(two_prompts, finite)[1], torch.tensor(1.0).double())
assert ledger_row("no-support").holds

# %% [markdown]
# Notice what the finite penalty did there: where every answer pays the same fine, the fine changes nothing.

# %% [markdown]
# ## 4 A fine instead of a ban
#
# Computers like finite numbers. Charge every unsafe answer a penalty $C$, that is $r_C = r - C h$. Let $Z_u$ collect
# the unsafe terms as $Z_s$ does the safe ones. Then
#
# $$
# \pi_C(y) = \frac{\pi_{\mathrm{ref}}(y) \, e^{r(y)/\beta} \, e^{-C h(y)/\beta}}{Z_s + e^{-C/\beta} Z_u} .
# $$
#
# On the safe answers this is $\pi^\ast$ times one constant below 1. So what $\pi_C$ lacks there is what it wrongly has on
# the unsafe ones, and the total variation between the two is just that mass:
#
# $$
# \mathrm{TV}(\pi_C, \pi^\ast) = \sum_{y \notin Y_s} \pi_C(y)
# = \frac{e^{-C/\beta} Z_u}{Z_s + e^{-C/\beta} Z_u} \;\longrightarrow\; 0 \quad (C \to \infty) .
# $$
#
# That is Proposition 4.2, with its rate.

# %%
from safedpo.finite import log_partition, log_partition_unsafe, optimal_policy, six_answers, tv, unsafe_mass

world, beta = six_answers(), 0.5
z_safe, z_unsafe = log_partition(world, beta).exp(), log_partition_unsafe(world, beta).exp()
penalties = torch.linspace(0, 10, 41, dtype=torch.float64)

fined = [optimal_policy(world, beta, penalty=c) for c in penalties.tolist()]
left = tv(torch.stack(fined), optimal_policy(world, beta))
fine = (-penalties / beta).exp()[:, None]
right = fine * z_unsafe / (z_safe + fine * z_unsafe)

residual, row = (left - right).abs().max().item(), ledger_row("tv-closed-form")
print(f"TV in closed form: here {residual:.1e}, ledger {row.residual:.1e} (allowed {row.tolerance:.0e})")
assert residual <= row.tolerance and row.holds
assert ledger_row("tv-unsafe-mass").holds and ledger_row("penalty-safe-part").holds
assert (left.diff(dim=0) < 0).all() and left[-1] < 1e-7  # Proposition 4.2: it falls to 0
assert ledger_row("penalty-limit").holds

# %% [markdown]
# Move $C$ from nothing to the hard constraint itself, for any $\beta$. Below the bars, on a logarithmic scale, the
# distance falls in a straight line.

# %%
from safedpo.show import Stops, slider
from safedpo.show.figures.penalty import penalty

line = torch.linspace(0, 6, 31, dtype=torch.float64)


def distances(world, beta):  # the closed form, divided by Z_s above and below
    log_ratio = log_partition_unsafe(world, beta) - log_partition(world, beta)
    return torch.sigmoid(log_ratio - line / beta).tolist()


def at(beta, c):
    finite, hard = (optimal_policy(world, beta, penalty=one)[0].exp().tolist() for one in (c, math.inf))
    return penalty(
        world.labels,
        world.unsafe[0].tolist(),
        finite,
        hard,
        c=c,
        safe_support=1 - unsafe_mass(world, world.ref_logps).item(),
        curve=(line.tolist(), distances(world, beta)),
    )


betas = [0.1, 0.5, 2] if FAST else [0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10]
fines = [0, 0.5, 1, 1.5, 2, 2.5, 3, 4, 5, 6, math.inf]
slider(at, Stops("β", betas, start=0.5), Stops("penalty C", fines, start=1))

# %% [markdown]
# **Exercise 2.** Turn the formula round. Which is the least $C \ge 0$ with $\mathrm{TV}(\pi_C, \pi^\ast) \le \tau$?


# %%
def needed_penalty(log_z_safe, log_z_unsafe, beta, tau):
    """The least C >= 0 with TV <= τ. All four are numbers; the partition functions come as logarithms."""
    ### BEGIN SOLUTION
    return max(0.0, beta * (log_z_unsafe - log_z_safe + math.log((1 - tau) / tau)))
    ### END SOLUTION


# %%
check("needed_penalty", needed_penalty)

# %% [markdown]
# ## 5 The price of poor support
#
# How large must $C$ be when the reference hardly ever says anything safe? Take equal rewards, to see the support alone.
# Then $Z_u / Z_s = (1 - \delta)/\delta$ and the least penalty for $\mathrm{TV} \le \tau$ is
#
# $$
# C(\delta) = \beta \log \left( \frac{1 - \delta}{\delta} \cdot \frac{1 - \tau}{\tau} \right)
# \;\approx\; \beta \log \frac{1}{\delta} + \beta \log \frac{1}{\tau} .
# $$
#
# **Predict.** Let $\beta = 0.1$ and $\tau = 0.001$. The safe support falls from $10^{-4}$ to $10^{-8}$, ten thousand
# times less. The penalty must become

# %%
predict("support_price")

# %%
from safedpo.finite import FiniteWorld, optimal_policy, required_penalty, six_answers, tv

world, beta, tau = six_answers(), 0.1, 1e-3


def with_support(delta):
    """The same answers, with equal rewards, in a reference whose safe answers have the mass δ."""
    safe = world.ref_logps.masked_fill(world.unsafe, -math.inf).log_softmax(-1) + math.log(delta)
    unsafe = world.ref_logps.masked_fill(~world.unsafe, -math.inf).log_softmax(-1) + math.log1p(-delta)
    return FiniteWorld(torch.where(world.unsafe, unsafe, safe), torch.zeros(1, 6), world.unsafe)


for delta in (0.5, 0.1, 0.01, 1e-4, 1e-8):
    poor, formula = with_support(delta), beta * math.log((1 - delta) / delta * (1 - tau) / tau)
    needed = required_penalty(poor, beta, tau).item()
    reached = tv(optimal_policy(poor, beta, penalty=needed), optimal_policy(poor, beta)).item()
    print(f"δ = {delta:<6g} C = {needed:.3f}   total variation reached {reached:.6f}")
    assert math.isclose(needed, formula, rel_tol=1e-6) and math.isclose(reached, tau, rel_tol=1e-6)
assert ledger_row("price-of-support").holds and ledger_row("penalty-sufficient").holds

# %%
from safedpo.finite import log_partition, log_partition_unsafe
from safedpo.show import Stops, slider
from safedpo.show.figures.penalty import penalty

line = torch.linspace(0, 3, 31, dtype=torch.float64)


def poorer(delta):
    poor = with_support(delta)
    needed = required_penalty(poor, beta, tau).item()
    finite, hard = (optimal_policy(poor, beta, penalty=one)[0].exp().tolist() for one in (needed, math.inf))
    distances = torch.sigmoid(log_partition_unsafe(poor, beta) - log_partition(poor, beta) - line / beta)
    return penalty(
        world.labels,
        world.unsafe[0].tolist(),
        finite,
        hard,
        c=needed,
        safe_support=delta,
        curve=(line.tolist(), distances.tolist()),
    )


support = [10.0**-k for k in range(1, 11)]
slider(poorer, Stops("safe support δ", support, start=1e-2, text=lambda delta: f"{delta:.0e}"))

# %% [markdown]
# **Exercise 3.** Read the slider at $\delta = 10^{-4}$ and at $10^{-8}$: by how much does the penalty rise? (Two digits are
# enough.)


# %%
def price_of_support():
    """C at δ = 1e-8 minus C at δ = 1e-4."""
    ### BEGIN SOLUTION
    return 0.1 * math.log(1e4)
    ### END SOLUTION


# %%
check("price_of_support", price_of_support)

# %% [markdown]
# And the safe optimum itself? Poor support does not move it at all; it only lowers the value, by $\beta \log(1/\delta)$.
# What is expensive is getting there from samples, and that is no statement about optima.

# %%
from safedpo.finite import optimal_value

rich, poor = with_support(0.5), with_support(1e-8)
lost = (optimal_value(rich, beta) - optimal_value(poor, beta)).item()
print(f"the value falls by {lost:.4f}, that is β log(0.5 / 1e-8); the optimum stays where it was")
assert tv(optimal_policy(rich, beta), optimal_policy(poor, beta)) < 1e-12
assert math.isclose(lost, beta * math.log(0.5 / 1e-8), rel_tol=1e-9)
assert ledger_row("support-to-zero").holds

# %% [markdown]
# ## Recap
#
# $$
# \begin{aligned}
# \text{modified reward} \quad & r_c = r \text{ where safe}, \; -\infty \text{ where not} \\
# \text{safe optimum} \quad & \pi^\ast = \pi_{\mathrm{ref}} \, e^{r_c/\beta} / Z_s, \quad
# \text{value } \beta \log Z_s, \quad \text{needs only } Z_s > 0 \\
# \text{finite penalty} \quad & \mathrm{TV}(\pi_C, \pi^\ast) = \text{unsafe mass of } \pi_C
# = \frac{e^{-C/\beta} Z_u}{Z_s + e^{-C/\beta} Z_u} \\
# \text{price} \quad & C \ge \beta \log \left( \frac{Z_u}{Z_s} \cdot \frac{1 - \tau}{\tau} \right)
# \end{aligned}
# $$
#
# **What we have not shown.** How to *reach* the optimum from comparisons: nothing here was learnt. That the safety flags
# are right; a wrong one forbids a good answer or allows a bad one. And the sums are finite: with infinitely many answers
# $Z_s < \infty$ is needed too.

# %%
progress("02")

# %% [markdown]
# **References.** SafeDPO, arXiv 2505.20065, sections 2.2, 3.1 and 4.1 (Eq. 6-9, Assumption 4.1, Proposition 4.2). The
# closed forms of TV and of the needed penalty are derived here. Safe RLHF: arXiv 2310.12773.
#
# **Next:** [03 · The SafeDPO loss](03_the_safedpo_loss.ipynb) reaches this optimum from comparisons and two bits.
