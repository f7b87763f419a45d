# %% [markdown]
# # 01 · From preferences to DPO
#
# People can say which of two answers they like better; they cannot write down a reward. This notebook walks the whole
# way from such comparisons to a loss that trains a policy on them directly: no reward model, no sampling, one line of
# algebra at each step. Every step is also computed, from both ends, in a world small enough to be exact.
#
# **Afterwards you can**
# - say what a preference reveals about a reward, and what it never can;
# - derive the optimum of "reward minus KL" in one line, and see that it is unique;
# - read the reward off a policy, and watch $\log Z$ cancel;
# - write the DPO loss and its gradient, and predict what $\beta$ does at both ends.
#
# **Time** about 25 minutes, of which the machine takes less than one. **You need** PyTorch, logarithms, expectations.
#
# <!-- links -->

# %%
# SET-UP

# %% [markdown]
# ## 1 A preference is a coin toss
#
# The Bradley-Terry model gives each answer $y$ to a prompt $x$ a reward $r(x, y)$, and says that a person prefers
# $y_1$ to $y_2$ with probability
#
# $$
# P(y_1 \succ y_2 \mid x) = \sigma\big(r(x, y_1) - r(x, y_2)\big), \qquad \sigma(t) = \frac{1}{1 + e^{-t}} .
# $$
#
# Our world has one prompt, *"The sink is blocked. What do I do tonight?"*, and six answers. Two are hazardous. They also
# sound quick and sure, and so people like them.

# %%
from safedpo.finite import population, six_answers

world = six_answers()
reference, reward, unsafe = world.ref_logps[0].exp(), world.reward[0], world.unsafe[0]
for label, p, r, h in zip(world.labels, reference, reward, unsafe, strict=True):
    print(f"{label:22} reference {p:.2f}   reward {r:+.1f}   {'UNSAFE' if h else ''}")

# %% [markdown]
# **Predict.** We add 100 to the reward of every answer to this prompt. What happens to the preferences?

# %%
predict("add_a_hundred")

# %%
reward = world.reward[0]
prefer = torch.sigmoid(reward[:, None] - reward)  # prefer[i, j] = P(answer i beats answer j)
richer = torch.sigmoid((reward + 100)[:, None] - (reward + 100))

pairs = population(world)  # the exact law of the data: every pair with both outcomes, weighted
share = torch.zeros(6, 6, dtype=torch.float64)
share.index_put_((pairs.chosen, pairs.rejected), pairs.weight, accumulate=True)
off_diagonal = ~torch.eye(6, dtype=torch.bool)
assert torch.allclose(share[off_diagonal], prefer[off_diagonal])  # the data really is Bradley-Terry
assert torch.allclose(prefer, richer, atol=1e-12)  # and cannot see the hundred
print(f"P(plunger beats plumber) = {prefer[0, 2]:.4f}, with 100 more for everyone {richer[0, 2]:.4f}")

# %% [markdown]
# Preferences determine a reward up to one constant for each prompt. Hold on to that constant: it is about to become
# $\beta \log Z(x)$, and to vanish.

# %% [markdown]
# ## 2 Helpful, but not far from home
#
# We want a policy $\pi$ with a high reward that stays near the reference $\pi_{\mathrm{ref}}$, the model we start from:
#
# $$
# \max_\pi \; J(\pi), \qquad
# J(\pi) = \mathbb{E}_{y \sim \pi}[r(x, y)] - \beta \, \mathrm{KL}(\pi \,\|\, \pi_{\mathrm{ref}}) .
# $$
#
# Put everything under one logarithm, and name what appears there:
#
# $$
# \begin{aligned}
# J(\pi) &= -\beta \sum_y \pi(y) \log \frac{\pi(y)}{\pi_{\mathrm{ref}}(y) \, e^{r(y)/\beta}} \\
# &= \beta \log Z - \beta \, \mathrm{KL}(\pi \,\|\, \pi^\ast),
# \qquad \pi^\ast(y) = \frac{\pi_{\mathrm{ref}}(y) \, e^{r(y)/\beta}}{Z}, \quad
# Z = \sum_y \pi_{\mathrm{ref}}(y) \, e^{r(y)/\beta} .
# \end{aligned}
# $$
#
# That is the **Gibbs identity**, and the problem is solved: a KL is never negative, and it is zero only where its two
# arguments agree. So $\pi^\ast$ is the optimum, it is the only one, and its value is $\beta \log Z$.
#
# The next cell computes both sides for a thousand random policies.

# %%
from safedpo.finite import kl, six_answers

world, beta = six_answers(), 0.5
draw = torch.Generator().manual_seed(0)
policies = torch.randn(1000, 1, 6, dtype=torch.float64, generator=draw).log_softmax(-1)
log_z = (world.ref_logps + world.reward / beta).logsumexp(-1)
best = world.ref_logps + world.reward / beta - log_z

left = (policies.exp() * world.reward).sum(-1) - beta * kl(policies, world.ref_logps)
right = beta * log_z - beta * kl(policies, best)

residual = (left - right).abs().max().item()
row = ledger_row("gibbs-identity")  # by another route: random worlds, and only safe answers
print(f"here {residual:.1e}; the ledger on fresh worlds {row.residual:.1e}; allowed {row.tolerance:.0e}")
assert residual <= row.tolerance and row.holds
assert (left < beta * log_z).all()  # none of the thousand beats the optimum

# %% [markdown]
# **Predict.** We raise $\beta$. What does the optimum do?

# %%
predict("beta_up")

# %% [markdown]
# **Predict.** And where does it go when $\beta \to 0$?

# %%
predict("beta_to_zero")

# %% [markdown]
# Move the slider and read off the expected reward, the KL to the reference and $\log Z$. Hatched bars are unsafe answers.

# %%
from safedpo.finite import expected_reward, kl, log_partition, optimal_policy, six_answers
from safedpo.show import Stops, slider
from safedpo.show.figures.policies import policies as draw

world = six_answers()
betas = [0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10]


def numbers(beta):
    best = optimal_policy(world, beta, penalty=0.0)  # penalty 0: safety plays no part yet
    log_z = log_partition(world, beta, penalty=0.0)
    return best, {
        "expected reward": expected_reward(world, best).item(),
        "KL to the reference": kl(best, world.ref_logps).item(),
        "log Z": log_z.item(),
    }


def at(beta):
    best, facts = numbers(beta)
    bars = {"reference": world.ref_logps[0].exp().tolist(), "optimum": best[0].exp().tolist()}
    return draw(world.labels, world.unsafe[0].tolist(), bars, facts={"optimum": facts}, setting=f"At β = {beta:g}")


slider(at, Stops("β", betas, start=0.5))

# %% [markdown]
# Three sentences, and each would fail here if it were false: as $\beta$ grows the KL falls; so does the expected reward;
# at the two ends stand the answer with the highest reward, and the reference.

# %%
facts = [numbers(beta)[1] for beta in betas]
kls, rewards = ([f[name] for f in facts] for name in ("KL to the reference", "expected reward"))
for falling in (kls, rewards):  # as beta grows, the KL falls, and so does the expected reward
    assert all(later < earlier for earlier, later in zip(falling, falling[1:], strict=False))

greedy, timid = (optimal_policy(world, beta, penalty=0.0).exp()[0] for beta in (1e-3, 1e6))
assert greedy[world.reward[0].argmax()] > 1 - 1e-12  # beta -> 0: all on the highest reward
assert (timid - world.ref_logps[0].exp()).abs().max() < 1e-5  # beta -> infinity: the reference
print(f"β = 0.001: {greedy.max():.6f} on “{world.labels[greedy.argmax()]}”")

# %% [markdown]
# ## 3 The reward hides in the policy
#
# Take the logarithm of $\pi^\ast$ and solve for the reward:
#
# $$
# r(x, y) = \beta \log \frac{\pi^\ast(y \mid x)}{\pi_{\mathrm{ref}}(y \mid x)} + \beta \log Z(x) .
# $$
#
# Read it backwards: *any* policy is the optimum for some reward, namely its **implicit reward**
# $\beta \log \pi / \pi_{\mathrm{ref}}$. A language model is its own reward model.
#
# **Exercise 1.** Write it.


# %%
def implicit_reward(logps, ref_logps, beta):
    """The reward whose optimum is the policy, without the constant β log Z.

    logps, ref_logps: (P, A) log-probabilities of the policy and the reference; returns (P, A).
    """
    ### BEGIN SOLUTION
    return beta * (logps - ref_logps)
    ### END SOLUTION


# %%
check("implicit_reward", implicit_reward)  # stuck? hint("implicit_reward", 1), then 2 and 3

# %% [markdown]
# $\log Z(x)$ is a sum over all answers: for a language model, over more texts than there are atoms. But it is the *same*
# for all answers to a prompt, and preferences see only differences:
#
# $$
# r(x, y_1) - r(x, y_2) = \beta \log \frac{\pi^\ast(y_1 \mid x)}{\pi_{\mathrm{ref}}(y_1 \mid x)}
# - \beta \log \frac{\pi^\ast(y_2 \mid x)}{\pi_{\mathrm{ref}}(y_2 \mid x)} .
# $$

# %%
from safedpo.finite import log_partition, optimal_policy, six_answers

world, beta = six_answers(), 0.5
implicit = beta * (optimal_policy(world, beta, penalty=0.0) - world.ref_logps)[0]

left = world.reward[0][:, None] - world.reward[0]
right = implicit[:, None] - implicit
residual = (left - right).abs().max().item()
constant = world.reward[0] - implicit

row = ledger_row("log-z-cancels")
print(f"differences agree to {residual:.1e} (ledger {row.residual:.1e})")
print(f"each level is off by {constant[0]:.4f}, which is beta log Z")
assert residual <= row.tolerance and row.holds
assert torch.allclose(constant, beta * log_partition(world, beta, penalty=0.0))

# %% [markdown]
# ## 4 The DPO loss
#
# Fit a policy to comparisons by maximum likelihood, with its implicit reward in the Bradley-Terry model. $\log Z$ is
# gone, and what is left needs four numbers a pair: log-probabilities of the chosen response $y_w$ and the rejected one
# $y_l$, under the policy and under the reference.
#
# $$
# \mathcal{L} = -\log \sigma(m), \qquad
# m = \beta \left[ \log \frac{\pi(y_w \mid x)}{\pi_{\mathrm{ref}}(y_w \mid x)}
# - \log \frac{\pi(y_l \mid x)}{\pi_{\mathrm{ref}}(y_l \mid x)} \right] .
# $$
#
# We call $m$ the **reward margin**. For a text, $\log \pi(y \mid x)$ is the *sum* over its tokens, never the mean: the
# algebra above is about whole responses.
#
# **Exercise 2.** Write the loss, one number a pair. Let it survive margins of $\pm 1000$.


# %%
def dpo_loss(chosen_logps, rejected_logps, ref_chosen_logps, ref_rejected_logps, beta):
    """−log σ(m) for each pair: four (B,) tensors of log-probabilities and β > 0 -> (B,) losses."""
    ### BEGIN SOLUTION
    m = beta * ((chosen_logps - ref_chosen_logps) - (rejected_logps - ref_rejected_logps))
    return -torch.nn.functional.logsigmoid(m)
    ### END SOLUTION


# %%
check("dpo_loss", dpo_loss)

# %% [markdown]
# Does this loss, which has never seen a reward, have the optimum of section 2? Average it over the coin tosses of one
# pair, which the better answer wins with probability $p$. With $p_\pi = \sigma(m)$ that is a cross-entropy, so
#
# $$
# \mathbb{E}\,\mathcal{L} = H(p) + \mathrm{KL}\big(p \,\|\, p_\pi\big) ,
# $$
#
# least where $p_\pi = p$ for every pair, which is where the implicit reward differences are the true ones: at
# $\pi^\ast$. Both sides, summed over all fifteen pairs, for the optimum and for another policy:

# %%
from safedpo.finite import optimal_policy, pairs_loss, population, six_answers

world, beta = six_answers(), 0.5
pairs = population(world)
best = optimal_policy(world, beta, penalty=0.0)
i, j = torch.triu_indices(6, 6, offset=1)
p = torch.sigmoid(world.reward[0, i] - world.reward[0, j])
entropy = -(p * p.log() + (1 - p) * (1 - p).log()).sum()
for name, policy in (("optimum", best), ("reference", world.ref_logps)):
    shown = beta * (policy - world.ref_logps)[0]
    q = torch.sigmoid(shown[i] - shown[j])
    distance = (p * (p / q).log() + (1 - p) * ((1 - p) / (1 - q)).log()).sum()
    loss = pairs_loss(pairs, policy, world.ref_logps, beta=beta, delta=0.0)
    assert torch.isclose(loss, entropy + distance, rtol=1e-12)
    print(f"{name:10} loss {loss:.6f} = entropy {entropy:.6f} + KL {abs(distance):.6f}")
assert ledger_row("optimum-dpo").holds  # the ledger trains to convergence and compares

# %% [markdown]
# ## 5 The gradient: which pairs pull, and how hard
#
# $$
# \nabla \mathcal{L} = -\beta \; \sigma(-m) \; \big( \nabla \log \pi(y_w \mid x) - \nabla \log \pi(y_l \mid x) \big) .
# $$
#
# The chosen response is pushed up and the rejected one down, by the same force. The force has a weight between 0 and 1.
#
# **Predict.** Which pairs does the current policy feel most?

# %%
predict("who_pulls")

# %% [markdown]
# **Exercise 3.** Write the gradient by hand: $\partial \mathcal{L} / \partial \log \pi(y_w)$ and
# $\partial \mathcal{L} / \partial \log \pi(y_l)$. No autograd.


# %%
def dpo_gradient(chosen_logps, rejected_logps, ref_chosen_logps, ref_rejected_logps, beta):
    """(dL/dchosen_logps, dL/drejected_logps) of each pair's loss, both (B,)."""
    ### BEGIN SOLUTION
    m = beta * ((chosen_logps - ref_chosen_logps) - (rejected_logps - ref_rejected_logps))
    weight = torch.sigmoid(-m)
    return -beta * weight, beta * weight
    ### END SOLUTION


# %%
check("dpo_gradient", dpo_gradient)

# %% [markdown]
# Autograd is the second opinion. Here are four pairs, from clearly wrong to clearly right.

# %%
from safedpo.losses import dpo_loss as package_dpo_loss

chosen = torch.tensor([-60.0, -16.0, -15.0, -10.0], dtype=torch.float64, requires_grad=True)
rejected = reference = torch.full((4,), -15.0, dtype=torch.float64)
beta = 0.1
package_dpo_loss(chosen, rejected, reference, reference, beta=beta).sum().backward()

m = beta * ((chosen.detach() - reference) - (rejected - reference))
by_hand = -beta * torch.sigmoid(-m)
residual = (chosen.grad - by_hand).abs().max().item()
row = ledger_row("dpo-gradient")
for margin, slope in zip(m, by_hand, strict=True):
    print(f"m = {margin:+.2f}   weight {-slope / beta:.3f}   gradient {slope:+.4f}")
assert residual <= row.tolerance and row.holds
assert (by_hand.diff() > 0).all()  # the wronger the pair, the stronger the pull

# %% [markdown]
# One look at the destination: gradient descent on a table of six logits, fed with nothing but comparisons, arrives at the
# policy that section 2 wrote down.

# %%
from safedpo.finite import fit, optimal_policy, population, six_answers, tv, unsafe_mass

world, beta = six_answers(), 0.5
run = fit(world, population(world), beta=beta, delta=0.0, steps=1000 if FAST else 3000, lr=1.0)
learnt, best = run.policy[0, 0, 0], optimal_policy(world, beta, penalty=0.0)
far = [tv(policy, best).item() for policy in (world.ref_logps, learnt)]
print(f"total variation to π*: {far[0]:.4f} at the reference, {far[1]:.1e} now")
harm = [unsafe_mass(world, policy).item() for policy in (world.ref_logps, learnt)]
print(f"unsafe mass: {harm[0]:.2f} at the reference, {harm[1]:.2f} now")
assert tv(learnt, best) < 1e-3
assert harm[1] > harm[0]  # DPO has walked towards the hazard

# %% [markdown]
# It works, and that is the trouble. The preferences liked the hazardous answers, so the policy learnt to give them more
# often than the model we started from.

# %% [markdown]
# ## Recap
#
# $$
# \begin{aligned}
# \text{preferences} \quad & P(y_1 \succ y_2) = \sigma(r_1 - r_2) \\
# \text{optimum} \quad & \pi^\ast \propto \pi_{\mathrm{ref}} \, e^{r/\beta}, \quad
# J(\pi) = \beta \log Z - \beta \, \mathrm{KL}(\pi \,\|\, \pi^\ast) \\
# \text{implicit reward} \quad & r = \beta \log (\pi^\ast / \pi_{\mathrm{ref}}) + \beta \log Z \\
# \text{loss} \quad & \mathcal{L} = -\log \sigma(m), \quad \nabla \mathcal{L} = -\beta \, \sigma(-m) \,
# (\nabla \log \pi_w - \nabla \log \pi_l)
# \end{aligned}
# $$
#
# **What we have not shown.** That people follow Bradley-Terry (they need not). What happens with few comparisons instead
# of their exact law (notebook 04), with a policy whose answers share parameters (06), or with text (07). And nothing
# here kept the policy safe.

# %%
progress("01")

# %% [markdown]
# **References.** R. A. Bradley and M. E. Terry, *Rank analysis of incomplete block designs* (1952). R. Rafailov et al.,
# *Direct Preference Optimization* (arXiv 2305.18290), Eq. 1-7. The SafeDPO paper is arXiv 2505.20065; its sections 2 and 3
# start from here.
#
# **Next:** [02 · The safe optimum](02_the_safe_optimum.ipynb) puts the hard constraint into the closed form.
