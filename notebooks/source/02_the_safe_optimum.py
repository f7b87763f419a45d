# %% [markdown]
# # 02 · The safe optimum
#
# Notebook 01 ended with a policy that had learnt what people liked, hazards included. Here we forbid the hazards outright,
# not just on average and not for a price: an unsafe answer gets probability zero. Surprisingly, the problem becomes no
# harder. The optimum is still one line, and everything about it can be checked as a number.
#
# **Afterwards you can**
# - tell the hard constraint from a budget for expected cost, and say what the budget buys;
# - derive the safe optimum, and name the one assumption it needs;
# - compute how far a finite penalty $C$ stays from it, and which $C$ brings it as near as you like;
# - compute the price of a reference that hardly ever gives a safe answer.
#
# **Time** about 40 minutes. **You need** the Gibbs identity of notebook 01.
#
# <!-- links -->

# %%
# SET-UP
world, beta = six_answers(), 0.5
hard = optimal_policy(world, beta)  # under the hard constraint

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
# Safe RLHF, C-DPO and others solve the first (with any limit in the place of 0, and in the mean over prompts), SafeDPO the
# second. In our world the careful answers have *negative* cost:

# %%
for label, c, h in zip(world.labels, world.cost[0], world.unsafe[0], strict=True):
    print(f"{label:22} cost {c:+.1f}   {'UNSAFE' if h else ''}")
print(f"expected cost of the reference: {expectation(world.ref_logps, world.cost).item():+.3f}")

# %% [markdown]
# **Predict.** We maximise reward minus KL subject to $\mathbb{E}[c] \le 0$. How much probability do the two hazardous
# answers get?

# %%
predict("average_is_fine")

# %% [markdown]
# The best policy under the budget tilts the reference by $r - \lambda c$ (notebook 05 derives it). The multiplier
# $\lambda \ge 0$ is the one that uses the budget up:
#
# $$
# \pi_\lambda(y) \propto \pi_{\mathrm{ref}}(y) \, e^{(r(y) - \lambda c(y)) / \beta} ,
# \qquad \mathbb{E}_{\pi_\lambda}[c] = 0 .
# $$
#
# The expected cost falls as $\lambda$ grows, so a root finder gets it.

# %%
from scipy.optimize import brentq


def tilted(lam, beta):
    return (world.ref_logps + (world.reward - lam * world.cost) / beta).log_softmax(-1)


def within_budget(beta):
    lam = brentq(lambda lam: expectation(tilted(lam, beta), world.cost).item(), 0, 50, xtol=1e-15, rtol=1e-15)
    return tilted(lam, beta)


# The expected cost falls as the multiplier grows, so there is one root.
assert falling(expectation(tilted(lam / 10, beta), world.cost) for lam in range(50))

# %%
budget = within_budget(beta)
assert abs(expectation(budget, world.cost).item()) < 1e-12  # on average nothing is wrong,
assert unsafe_mass(world, budget) > 0.2  # and more than one answer in five is hazardous
assert unsafe_mass(world, hard) == 0 and expected_reward(world, hard) < expected_reward(world, budget)
print(f"unsafe mass {unsafe_mass(world, budget).item():.3f} within the budget, 0 under the hard constraint")
assert ledger_row("dual-tight").holds  # the tilt that just meets a budget is the optimum


# %%
def both(beta):
    found = {"expected cost ≤ 0": within_budget(beta), "hard constraint": optimal_policy(world, beta)}
    return bars(world, found, f"At β = {beta:g}", measures=["expected reward"])


for one in BETAS:
    budget = within_budget(one)
    assert unsafe_mass(world, budget) > 0.2  # harmless for no β
    assert expected_reward(world, optimal_policy(world, one)) < expected_reward(world, budget)  # safety costs reward
slider(both, Stops("β", BETAS, start=0.5))

# %% [markdown]
# The hard constraint is not free: it gives up some reward, and the slider shows how much. In return it says something
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
# A policy with any unsafe mass now has the value $-\infty$. So the constrained problem has become an unconstrained one, and
# the algebra of notebook 01 works on the safe answers $Y_s$ alone. For every $\pi$ that gives only answers in $Y_s$,
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
# \pi^\ast(y \mid x) = \frac{\pi_{\mathrm{ref}}(y \mid x) \, e^{r_c(x, y)/\beta}}{Z_s(x)} .
# $$
#
# Since $e^{-\infty} = 0$, every unsafe answer gets exactly zero, for every $\beta$.
#
# **Predict.** Compared with the optimum of DPO, what happens to the *ratios* between safe answers?

# %%
predict("ratio_of_safe")

# %% [markdown]
# **Exercise 1** ●○○ 5 min. Write the safe policy. Give log-probabilities, $-\infty$ where an answer is forbidden.


# %%
def safe_policy(ref_logps, reward, unsafe, beta):
    """log π*(y|x): tables (P, A) of log π_ref, reward and flags (True = unsafe), β > 0 -> (P, A).

    A prompt without a safe answer has no such policy: NaN or an error there.
    """
    ### BEGIN SOLUTION
    scores = (ref_logps + reward / beta).masked_fill(unsafe, -math.inf)
    return scores.log_softmax(-1)
    ### END SOLUTION


# %%
check("safe_policy", safe_policy)

# %% [markdown]
# Here are both sides of the identity, for a thousand random safe policies. The ledger repeats this on random worlds. It also
# lets SciPy's optimiser, which does not know the formula, look for something better.

# %%
safe = random_policies(1000).masked_fill(world.unsafe, -math.inf).log_softmax(-1)
log_z = log_partition(world, beta)
left = (safe.exp() * world.reward).sum(-1) - beta * kl(safe, world.ref_logps)
right = beta * log_z - beta * kl(safe, hard)
assert agree(left, right, ledger_row("gibbs-identity"))
assert ledger_row("optimum-scipy").holds and ledger_row("optimum-random").holds
assert (left < beta * log_z).all() and (hard.exp()[world.unsafe] == 0).all()
shift = (hard - optimal_policy(world, beta, penalty=0.0))[~world.unsafe]  # against the optimum of DPO
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
# We call the paper's $\delta$ the **safe support**, and write `support` in code: from notebook 03 on, `delta` is the safety
# margin $\Delta$, another quantity. Training can take probability from an answer that the model gives. It cannot find an
# answer to which the model gives none.
#
# **Predict.** What is the optimum at a prompt whose answers are all unsafe?

# %%
predict("no_safe_answer")

# %%
nothing_safe = torch.stack([world.unsafe[0], torch.ones(6, dtype=torch.bool)])
two_prompts = FiniteWorld(world.ref_logps.expand(2, 6), world.reward.expand(2, 6), nothing_safe)
print(error := refusal(InfeasiblePromptError, optimal_policy, two_prompts, beta))
assert error.prompt == 1
finite, free = (optimal_policy(two_prompts, beta, penalty=c) for c in (1000.0, 0.0))  # these exist, and are no help
assert tv(finite, free)[1] < 1e-12 and torch.isclose(unsafe_mass(two_prompts, finite)[1], torch.tensor(1.0).double())
assert ledger_row("no-support").holds

# %% [markdown]
# The finite penalty did nothing there. Where every answer pays the same fine, the fine changes no comparison.

# %% [markdown]
# ## 4 A fine instead of a ban
#
# What if we replace $-\infty$ by a large finite number? Charge every unsafe answer a penalty $C$, so that $r_C = r - C h$.
# Let $Z_u$ be the sum of the unsafe terms, as $Z_s$ is of the safe ones. Then
#
# $$
# \pi_C(y) = \frac{\pi_{\mathrm{ref}}(y) \, e^{r(y)/\beta} \, e^{-C h(y)/\beta}}{Z_s + e^{-C/\beta} Z_u} .
# $$
#
# On the safe answers this is $\pi^\ast$ times one constant, at most 1. What $\pi_C$ lacks there it has on the unsafe answers.
# The total variation $\mathrm{TV}(\pi, \pi') = \tfrac12 \sum_y \lvert \pi(y) - \pi'(y) \rvert$ of the two is just that mass:
#
# $$
# \mathrm{TV}(\pi_C, \pi^\ast) = \sum_{y \notin Y_s} \pi_C(y)
# = \frac{e^{-C/\beta} Z_u}{Z_s + e^{-C/\beta} Z_u} \;\longrightarrow\; 0 \quad (C \to \infty) .
# $$
#
# The paper's Proposition 4.2 says that the penalised optimum approaches the constrained one. That its penalty is the $C$ of
# this formula is our reading: the paper's appendix was not available, so the proof and the rate above are the kit's own.

# %%
z_safe, z_unsafe = log_partition(world, beta).exp(), log_partition_unsafe(world, beta).exp()
penalties = torch.linspace(0, 10, 41, dtype=torch.float64)
left = tv(torch.stack([optimal_policy(world, beta, penalty=c) for c in penalties.tolist()]), hard)
charged = (-penalties / beta).exp()[:, None] * z_unsafe
right = charged / (z_safe + charged)
assert agree(left, right, ledger_row("tv-closed-form"))
assert ledger_row("tv-unsafe-mass").holds and ledger_row("penalty-safe-part").holds
assert (left.diff(dim=0) < 0).all() and left[-1] < 1e-7  # it falls to 0
assert ledger_row("penalty-limit").holds

# %% [markdown]
# Move $C$ from 0 to the hard constraint itself, for any $\beta$. Below the bars stands the distance on a logarithmic scale.
# For large $C$ it falls in a straight line.

# %%

betas = [0.1, 0.5, 2] if FAST else [0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10]
fines = [0, 0.5, 1, 1.5, 2, 2.5, 3, 4, 5, 6, math.inf]
slider(lambda beta, c: fined(world, beta, c), Stops("β", betas, start=0.5), Stops("penalty C", fines, start=1))

# %% [markdown]
# **Exercise 2** ●●○ 10 min. Solve for $C$. What is the least $C \ge 0$ with $\mathrm{TV}(\pi_C, \pi^\ast) \le \tau$?


# %%
def needed_penalty(log_z_safe, log_z_unsafe, beta, tau):
    """The least C >= 0 with TV <= τ. All four are numbers; Z_s and Z_u come as logarithms."""
    ### BEGIN SOLUTION
    return max(0.0, beta * (log_z_unsafe - log_z_safe + math.log((1 - tau) / tau)))
    ### END SOLUTION


# %%
check("needed_penalty", needed_penalty)
assert ledger_row("penalty-for-tv").holds  # the formula, on random worlds

# %% [markdown]
# ## 5 The price of poor support
#
# How large must $C$ be when the reference hardly ever gives a safe answer? Take equal rewards, to see the support alone.
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
price, tau = 0.1, 1e-3  # β and τ
for support in (0.5, 0.1, 0.01, 1e-4, 1e-8):
    poor, formula = with_support(world, support), price * math.log((1 - support) / support * (1 - tau) / tau)
    needed = required_penalty(poor, price, tau).item()
    reached = tv(optimal_policy(poor, price, penalty=needed), optimal_policy(poor, price)).item()
    print(f"δ = {support:<6g} C = {needed:.3f}   total variation reached {reached:.6f}")
    assert math.isclose(needed, formula, rel_tol=1e-6) and math.isclose(reached, tau, rel_tol=1e-6)
assert ledger_row("price-of-support").holds and ledger_row("penalty-sufficient").holds

# %%


def poorer(support):
    poor = with_support(world, support)
    return fined(poor, price, required_penalty(poor, price, tau).item(), most=3.0)


supports = [10.0**-k for k in range(1, 11)]
slider(poorer, Stops("safe support δ", supports, start=1e-2, text=lambda support: f"{support:.0e}"))

# %% [markdown]
# **Exercise 3** ●○○ 5 min. By how much does the penalty rise from $\delta = 10^{-2}$ to $10^{-9}$? Work it out first, then read it off
# the slider. (Two digits are enough.)


# %%
def price_of_support():
    """C at δ = 1e-9 minus C at δ = 1e-2."""
    ### BEGIN SOLUTION
    return 0.1 * math.log(1e7)
    ### END SOLUTION


# %%
check("price_of_support", price_of_support)

# %% [markdown]
# And the safe optimum itself? Poor support does not move it, as long as the safe answers keep their shares among each other.
# It only lowers the value, by $\beta \log(1/\delta)$ against full support. What poor support makes expensive is reaching the
# optimum from samples (notebook 10), and that is no statement about optima.

# %%
rich, poor = with_support(world, 0.5), with_support(world, 1e-8)
lost = (optimal_value(rich, price) - optimal_value(poor, price)).item()
print(f"the value falls by {lost:.4f}, that is β log(0.5 / 1e-8); the optimum stays where it was")
assert tv(optimal_policy(rich, price), optimal_policy(poor, price)) < 1e-12
assert math.isclose(lost, price * math.log(0.5 / 1e-8), rel_tol=1e-9)
assert ledger_row("support-to-zero").holds

# %% [markdown]
# ## Workshop
#
# Four longer exercises, about 45 minutes together. Nothing later depends on them.
#
# **Exercise 4** ●●○ 10 min. *Predict, then measure.* The safe optimum can be sampled without any training. Draw from the
# reference; throw an unsafe answer away; keep a safe one with a probability that grows with its reward, such that the best
# safe answer is always kept. Predict first: is it the small $\beta$ or the large one that wastes more draws? Then compute
# how many draws one kept answer takes on average.


# %%
def draws_needed(ref_logps, reward, unsafe, beta):
    """Expected draws from the reference for one sample of π*: (A,), (A,), (A,) bool, β > 0 -> one number.

    math.inf where every answer is unsafe. Rewards may be in the hundreds.
    """
    ### BEGIN SOLUTION
    if unsafe.all():
        return math.inf
    safe = reward[~unsafe]
    kept = ref_logps[~unsafe] + (safe - safe.max()) / beta  # log of π_ref times the chance to be kept
    return math.exp(-kept.logsumexp(-1).item())
    ### END SOLUTION


# %%
check("draws_needed", draws_needed)

# %% [markdown]
# **Exercise 5** ●●○ 10 min. *Prove by a counterexample.* "There is a fine $C$ that is enough for every world, if rewards lie
# between −1 and 1." Disprove it: for a given $C$, build a world in which $\pi_C$ has more unsafe mass than $\tau$.


# %%
def poor_world(penalty, beta, tau):
    """(ref_logps (A,), reward (A,) in [-1, 1], unsafe (A,) bool) with unsafe mass of π_C above τ, 0 < τ < 1.

    Some safe answer must have positive reference mass.
    """
    ### BEGIN SOLUTION
    wanted = math.log(tau / (1 - tau))  # the log-odds of unsafe mass τ
    gap = wanted + penalty / beta + 0.5
    ref_logps = torch.tensor([0.0, gap], dtype=torch.float64).log_softmax(-1)
    reward = torch.zeros(2, dtype=torch.float64)
    return ref_logps, reward, torch.tensor([False, True])
    ### END SOLUTION


# %%
check("poor_world", poor_world)

# %% [markdown]
# **Exercise 6** ●●○ 10 min. *Prove a step.* How far is $\pi_C$ from $\pi^\ast$, measured in three ways? All three follow from one
# number. Find it, and mind both ends: $C = \infty$, and a world without unsafe answers.


# %%
def three_distances(ref_logps, reward, unsafe, beta, penalty):
    """TV, KL(π*‖π_C) and KL(π_C‖π*) of one prompt: (A,) each, β, 0 <= C <= inf -> three numbers, the last may be inf."""
    ### BEGIN SOLUTION
    scores = ref_logps + reward / beta
    if math.isinf(penalty) or not unsafe.any():
        return 0.0, 0.0, 0.0
    safe, fined = scores[~unsafe].logsumexp(-1), scores[unsafe].logsumexp(-1) - penalty / beta
    mass = torch.sigmoid(fined - safe).item()  # the unsafe mass of π_C
    return mass, -math.log1p(-mass), math.inf
    ### END SOLUTION


# %%
check("three_distances", three_distances)

# %% [markdown]
# **Exercise 7** ●●● 15 min. *Design a check.* Somebody hands you a function that claims to compute safe optima. Write a check
# that no planted fault escapes and no sound version fails.


# %%
def optimum_is_broken(optimum):
    """optimum(ref_logps, reward, unsafe, beta) -> log-probabilities (P, A). True if it is not the safe optimum.

    It must work from β = 0.001 on. At a prompt without a safe answer NaN or an error is right, a policy is not.
    """
    ### BEGIN SOLUTION
    ref_logps = torch.tensor([[0.1, 0.2, 0.3, 0.4], [0.4, 0.3, 0.2, 0.1]], dtype=torch.float64).log()
    reward = torch.tensor([[0.5, 1.0, -0.5, 2.0], [2.0, 0.0, 1.0, -1.0]], dtype=torch.float64)
    unsafe = torch.tensor([[False, False, False, True], [True, False, False, False]])
    for beta in (0.001, 0.5, 3.0):
        want = (ref_logps + reward / beta).masked_fill(unsafe, -math.inf).softmax(-1)
        found = optimum(ref_logps, reward, unsafe, beta).exp()
        if not torch.allclose(found, want, atol=1e-9) or found[unsafe].any():
            return True
    try:
        left = optimum(ref_logps, reward, torch.ones_like(unsafe), 0.5)
    except Exception:
        return False
    return not left.isnan().all()
    ### END SOLUTION


# %%
check("optimum_is_broken", optimum_is_broken)

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
# are right: a wrong one forbids a good answer or allows a bad one. Infinitely many answers: there $Z_s < \infty$ is needed
# too.

# %%
progress("02")

# %% [markdown]
# **References.** SafeDPO, arXiv 2505.20065, sections 2.2, 3.1 and 4.1 (Eq. 6-9, Assumption 4.1, Proposition 4.2). The
# closed forms of TV and of the needed penalty are derived here. Safe RLHF: arXiv 2310.12773.
#
# **Next:** [03 · The SafeDPO loss](03_the_safedpo_loss.ipynb) reaches this optimum from comparisons and two bits.
