# %% [markdown]
# # P0 · Prerequisites
#
# Five tools return in every notebook: log-sum-exp, two distances between policies, preferences as coin tosses, the gradient of a
# softmax, and the price of a constraint. Answer ten questions first. They tell you which of the five sections to read; each
# takes about four minutes.
#
# **Afterwards you can**
# - compute with probabilities whose logarithms are −1,000, without an overflow;
# - say what KL and total variation measure, and when a KL is infinite;
# - turn rewards into preferences and back;
# - write the gradient of an expected reward by hand;
# - say what a Lagrange multiplier is the price of.
#
# **Time** about 30 minutes as a whole, 10 of them for the self-test. **You need** logarithms, expectations, a little PyTorch.
#
# <!-- links -->

# %%
# SET-UP
world, beta = six_answers(), 0.5
reference, reward, cost = world.ref_logps[0], world.reward[0], world.cost[0]
policies = random_policies(1000)[:, 0]

# %% [markdown]
# ## Self-test
#
# Choose an answer wherever you know one. To find your answers here again tomorrow, first run
# `keep_predictions("my_answers.json")` in a cell of your own; it also keeps your predictions of the other notebooks.

# %%
self_test()

# %% [markdown]
# ## 1 Softmax and log-sum-exp
#
# A policy over $A$ answers can be written with one real number per answer, its **logits** $z$:
#
# $$
# \pi(y) = \frac{e^{z_y}}{\sum_k e^{z_k}} = e^{z_y - \mathrm{lse}(z)}, \qquad
# \mathrm{lse}(z) = \log \sum_k e^{z_k} .
# $$
#
# Adding a number to all logits adds it to $\mathrm{lse}$ and leaves the policy as it is. Log-sum-exp is a soft maximum,
#
# $$
# \max_k z_k \;\le\; \mathrm{lse}(z) \;\le\; \max_k z_k + \log A ,
# $$
#
# and $\tau \, \mathrm{lse}(z / \tau)$ goes to the maximum as $\tau \to 0$. The partition function $\log Z$ of notebook 01 is
# a log-sum-exp.

# %%
z = torch.tensor([2.0, -1.0, 0.5], dtype=torch.float64)
lse = z.exp().sum().log()
assert torch.allclose(z.softmax(0), (z - lse).exp())
assert torch.allclose((z + 5).logsumexp(0), lse + 5) and torch.allclose((z + 5).softmax(0), z.softmax(0))
assert z.max() <= lse <= z.max() + math.log(3)
soft = [(tau * (z / tau).logsumexp(0)).item() for tau in (1.0, 0.3, 0.1, 0.01)]
assert falling(soft) and abs(soft[-1] - 2.0) < 1e-12
print("τ lse(z/τ) for τ = 1, 0.3, 0.1, 0.01:", [round(one, 4) for one in soft])

# %% [markdown]
# **Exercise 1** ●○○ 5 min. Write the logarithm of a mean of exponentials. Values may be ±1,000, and an answer may have
# probability 0, whatever its value.


# %%
def log_mean_exp(probs, values):
    """log Σ p e^v for each row: probabilities and values, both (P, A) -> (P,)."""
    ### BEGIN SOLUTION
    return (probs.log() + values).logsumexp(-1)
    ### END SOLUTION


# %%
check("log_mean_exp", log_mean_exp)

# %% [markdown]
# ## 2 Two distances between policies
#
# The **Kullback-Leibler divergence** is a mean under its first argument,
#
# $$
# \mathrm{KL}(\pi \,\|\, \pi') = \sum_y \pi(y) \log \frac{\pi(y)}{\pi'(y)} \;\ge\; 0 ,
# $$
#
# with $0 \log 0 = 0$. It is zero only for equal policies, it is not symmetric, and it is infinite as soon as $\pi$ gives an
# answer that $\pi'$ never gives. The **total variation** is symmetric and at most 1,
#
# $$
# \mathrm{TV}(\pi, \pi') = \tfrac12 \sum_y \lvert \pi(y) - \pi'(y) \rvert
# = \max_S \lvert \pi(S) - \pi'(S) \rvert ,
# $$
#
# the largest difference that any set $S$ of answers shows. A small KL forces a small TV (Pinsker):
# $\mathrm{TV} \le \sqrt{\mathrm{KL} / 2}$.
#
# The next cell looks at all 64 sets of our six answers, and at a thousand random policies.

# %%
first, second = policies[0].exp(), policies[1].exp()
sets = torch.tensor([[n >> k & 1 for k in range(6)] for n in range(64)], dtype=torch.float64)
assert torch.isclose((sets @ (first - second)).abs().max(), tv(first.log(), second.log()))
there, back = kl(first.log(), second.log()), kl(second.log(), first.log())
assert torch.isclose(there, torch.nn.functional.kl_div(second.log(), first, reduction="sum")) and there != back
assert (tv(policies, reference) <= (kl(policies, reference) / 2).sqrt()).all()  # Pinsker, a thousand times
never = torch.tensor([0.5, 0.5, 0.0], dtype=torch.float64).log()
even = torch.full((3,), 1 / 3, dtype=torch.float64).log()
assert kl(even, never) == math.inf and torch.isclose(kl(never, even), torch.tensor(math.log(1.5)).double())
print(f"KL there {there:.3f}, and back {back:.3f}; total variation {tv(first.log(), second.log()):.3f}")

# %% [markdown]
# ## 3 Preferences as coin tosses
#
# The **sigmoid** is the softmax of two logits. The Bradley-Terry model says how often an answer of reward $r_1$ is preferred to
# one of reward $r_2$:
#
# $$
# P(y_1 \succ y_2) = \frac{e^{r_1}}{e^{r_1} + e^{r_2}} = \sigma(r_1 - r_2), \qquad
# \sigma(t) = \frac{1}{1 + e^{-t}} = 1 - \sigma(-t) .
# $$
#
# So the difference of two rewards is the logarithm of the odds. The loss of a comparison is
# $-\log \sigma(t) = \log(1 + e^{-t})$, and its derivative $-\sigma(-t)$ is near 0 once the comparison is settled. If the first
# answer won 30 of 40 comparisons, the likeliest difference is $\log 3$: there the derivatives cancel.

# %%
r = torch.tensor([1.3, 0.2], dtype=torch.float64)
t = torch.linspace(-30, 30, 61, dtype=torch.float64).requires_grad_()
assert torch.isclose(r.softmax(0)[0], torch.sigmoid(r[0] - r[1]))
assert torch.allclose((r + 100).softmax(0), r.softmax(0))  # a constant is never seen
loss = (1 + (-t).exp()).log()
assert torch.allclose(loss, -torch.nn.functional.logsigmoid(t))
assert torch.allclose(torch.autograd.grad(loss.sum(), t)[0], -torch.sigmoid(-t.detach()))
odds = torch.tensor(3.0).double().log().requires_grad_()
comparisons = -30 * torch.nn.functional.logsigmoid(odds) - 10 * torch.nn.functional.logsigmoid(-odds)
assert torch.autograd.grad(comparisons, odds)[0].abs() < 1e-12
print(f"a difference of log 3 wins {torch.sigmoid(odds):.2f} of the time")

# %% [markdown]
# ## 4 The gradient of a softmax
#
# With $\pi = \mathrm{softmax}(z)$,
#
# $$
# \frac{\partial \log \pi(y)}{\partial z_k} = \mathbf{1}[y = k] - \pi(k), \qquad
# \sum_y \pi(y) \, \nabla \log \pi(y) = 0 .
# $$
#
# Raising one log-probability lowers others, and on average nothing moves. Likelihood displacement in notebook 06 begins here.

# %%
z = torch.tensor([0.3, -1.2, 2.0], dtype=torch.float64)
jacobian = torch.autograd.functional.jacobian(lambda z: z.log_softmax(0), z)  # [y, k]
probs = z.softmax(0)
assert torch.allclose(jacobian, torch.eye(3) - probs)
assert (probs @ jacobian).abs().max() < 1e-12
print("∂ log π(y) / ∂ z_k, one row for each answer y:\n", jacobian)

# %% [markdown]
# **Exercise 2** ●●○ 5 min. Write the gradient of the expected reward under $\pi$ with respect to the logits, by hand: the
# checker runs your function where autograd records nothing.


# %%
def reward_gradient(logits, reward):
    """d E[r] / d logits of the policy softmax(logits): (A,), (A,) -> (A,)."""
    ### BEGIN SOLUTION
    probs = logits.softmax(-1)
    return probs * (reward - (probs * reward).sum())
    ### END SOLUTION


# %%
check("reward_gradient", reward_gradient)

# %% [markdown]
# ## 5 A limit and its price
#
# Maximise reward minus KL where the expected cost may be at most $d$:
#
# $$
# \max_\pi \; J(\pi) \quad \text{where} \quad \mathbb{E}_\pi[c] \le d, \qquad
# J(\pi) = \mathbb{E}_\pi[r] - \beta \, \mathrm{KL}(\pi \,\|\, \pi_{\mathrm{ref}}) .
# $$
#
# Put a price $\lambda \ge 0$ on what exceeds the limit, and let $\pi$ do its best:
#
# $$
# D(\lambda) = \max_\pi \; J(\pi) - \lambda \left( \mathbb{E}_\pi[c] - d \right)
# = \beta \, \log \sum_y \pi_{\mathrm{ref}}(y) \, e^{(r(y) - \lambda c(y)) / \beta} + \lambda d .
# $$
#
# This **dual function** is an upper bound on what a policy within the limit can reach, for every $\lambda$ (*weak duality*).
# It is convex, and its slope is the limit minus the expected cost of the policy that attains the maximum. Where
# some policy stays strictly within the limit (*Slater's condition*), the least bound is attained (*strong duality*), and
# either the limit is met exactly or its price is 0 (*complementary slackness*). The price says what one more unit of limit is
# worth.
#
# Move the price. At which stop is the expected cost −0.5?


# %%
def priced(lam):
    return (reference + (reward - lam * cost) / beta).log_softmax(0)


def at(lam):
    found = {"reference": world.ref_logps, "priced": priced(lam)[None]}
    return bars(world, found, f"At λ = {lam:g}", measures=("expected reward", "expected cost"))


PRICES = [0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.6, 0.8, 1.0, 1.5, 2.0]
slider(at, Stops("λ", PRICES, start=0))

# %% [markdown]
# The limit of the next cell is $d = -0.5$. A bisection on the slope finds the price. A general-purpose optimiser, which knows
# nothing of duals, finds the same value.

# %%
from scipy.optimize import minimize


def dual(lam, limit=-0.5):
    return beta * (reference + (reward - lam * cost) / beta).logsumexp(0).item() + lam * limit


def worth(policy):
    return ((policy.exp() * reward).sum() - beta * kl(policy, reference)).item()


def spent(policy):
    return (policy.exp() * cost).sum().item()


low, high = 0.0, 10.0
for _ in range(60):
    middle = (low + high) / 2
    low, high = (middle, high) if spent(priced(middle)) > -0.5 else (low, middle)

# %%
direct = minimize(
    lambda z: -worth(torch.tensor(z).log_softmax(0)), torch.zeros(6).double().numpy(), method="SLSQP",
    constraints={"type": "ineq", "fun": lambda z: -0.5 - spent(torch.tensor(z).log_softmax(0))}, options={"ftol": 1e-12},
)  # fmt: skip
assert abs(dual(high) - worth(priced(high))) < 1e-9  # strong duality: bound and value agree,
assert abs(dual(high) + direct.fun) < 1e-6  # and the general optimiser agrees with both
allowed = [one for one in policies if spent(one) <= -0.5]
assert allowed and all(worth(one) < dual(lam) for one in allowed for lam in PRICES)  # weak duality
assert falling(spent(priced(lam)) for lam in PRICES)  # the higher the price, the lower the cost
slope = (dual(high + 1e-5) - dual(high - 1e-5)) / 2e-5
assert abs(slope) < 1e-4 and abs(spent(priced(high)) + 0.5) < 1e-9  # the limit is tight, so its price is not 0
step = (dual(high, -0.5 + 1e-5) - dual(high, -0.5 - 1e-5)) / 2e-5
assert abs(step - high) < 1e-6
print(f"price {high:.4f}; value {worth(priced(high)):.4f}; one more unit of limit is worth {step:.4f}")

# %% [markdown]
# ## Recap
#
# $$
# \begin{aligned}
# \text{log-sum-exp} \quad & \mathrm{lse}(z) = \log \textstyle\sum_k e^{z_k}, \quad \log \pi(y) = z_y - \mathrm{lse}(z) \\
# \text{distances} \quad & \mathrm{KL}(\pi \,\|\, \pi') = \textstyle\sum \pi \log (\pi / \pi'), \quad
# \mathrm{TV}(\pi, \pi') = \tfrac12 \textstyle\sum \lvert \pi - \pi' \rvert \le \sqrt{\mathrm{KL} / 2} \\
# \text{preferences} \quad & P(y_1 \succ y_2) = \sigma(r_1 - r_2), \quad \tfrac{d}{dt} \left( -\log \sigma(t) \right) = -\sigma(-t) \\
# \text{gradient} \quad & \partial \log \pi(y) / \partial z_k = \mathbf{1}[y = k] - \pi(k) \\
# \text{price} \quad & \min_{\lambda \ge 0} D(\lambda) = \max \{ J(\pi) : \mathbb{E}_\pi[c] \le d \}
# \end{aligned}
# $$
#
# **What we have not shown.** Proofs of Pinsker's inequality and of strong duality: numbers on random policies do not prove
# them. S. Boyd and L. Vandenberghe's book has the second.

# %%
progress("P0")

# %% [markdown]
# **References.** S. Boyd and L. Vandenberghe, *Convex Optimization* (2004), chapter 5. T. Cover and J. Thomas, *Elements of
# Information Theory* (2006), chapters 2 and 11. R. A. Bradley and M. E. Terry, *Rank analysis of incomplete block designs*
# (1952).
#
# **Next:** [01 · From preferences to DPO](01_from_preferences_to_dpo.ipynb) puts the first three tools together.
