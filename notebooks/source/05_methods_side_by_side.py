# %% [markdown]
# # 05 · Methods side by side
#
# SafeDPO is one of many methods that aim at helpful and safe answers. Here nineteen of them meet in one world, on the same
# preference pairs. Each has its own idea of the optimum. We know the world completely, so we can see where each method
# ends, why it ends there, and what it needed.
#
# **Afterwards you can**
# - write down the dual of the expected-cost problem, and say what its slope, curvature and minimum mean;
# - run the loop of C-DPO by hand, and stop it for the right reason;
# - say why Safe RLHF and C-DPO end at different policies with the same $\lambda$;
# - see SACPO, PD-DPO and MODPO as DPO with another reference or temperature;
# - read a Pareto figure, and say what the hard constraint buys and what it costs.
#
# **Time** about 60 minutes (sections 1 to 4: 30). **You need** the optimum of notebook 02, $T$ of notebook 03, the ablation of
# notebook 04.
#
# <!-- links -->

# %%
# SET-UP
from safedpo.labs.lessons import methods

world, beta = six_answers(), 0.5
pairs = safer_by_cost(world, population(world))

# %% [markdown]
# ## 1 A price on harm
#
# Safe RLHF, C-DPO, SACPO and others bound the *expected* cost (the paper's Eq. 7):
#
# $$
# \max_\pi \; \mathbb{E}_\pi[r] - \beta\, \mathrm{KL}(\pi \,\|\, \pi_{\mathrm{ref}})
# \qquad \text{subject to} \qquad \mathbb{E}_\pi[c] \le d .
# $$
#
# Put a price $\lambda \ge 0$ on cost instead of the constraint. For a fixed price the problem is the one of notebook
# 01 with the reward $r - \lambda c$, so its optimum is known,
#
# $$
# \pi_\lambda(y) = \frac{\pi_{\mathrm{ref}}(y) \, e^{(r(y) - \lambda c(y))/\beta}}{Z_\lambda} ,
# \qquad \text{and its value plus } \lambda d \text{ is the dual} \quad
# g(\lambda) = \beta \log Z_\lambda + \lambda d .
# $$
#
# Whatever the price, $g(\lambda)$ is at least what any policy within the budget can reach: for such a policy
# the added term $\lambda(d - \mathbb{E}[c])$ is not negative. The best bound is the smallest, so we **minimise** $g$. If some
# policy has an expected cost strictly below $d$ (**Slater's condition**), the smallest bound is reached: there is no gap.
#
# **Predict.** What is the slope $g'(\lambda)$?

# %%
predict("slope_of_dual")

# %% [markdown]
# Differentiate $\beta \log Z_\lambda$: each weight brings down its $-c/\beta$, hence
#
# $$
# g'(\lambda) = d - \mathbb{E}_{\pi_\lambda}[c] , \qquad g''(\lambda) = \tfrac{1}{\beta}\,
# \mathrm{Var}_{\pi_\lambda}(c) \ge 0 .
# $$
#
# The dual is convex. It is least where the expected cost equals the limit, or at $\lambda = 0$ if the limit holds
# without a price.

# %%
limit, lam = 0.0, torch.tensor(0.8, dtype=torch.float64, requires_grad=True)
dual = beta * (world.ref_logps + (world.reward - lam * world.cost) / beta).logsumexp(-1).mean() + lam * limit
(slope,) = torch.autograd.grad(dual, lam, create_graph=True)
(curvature,) = torch.autograd.grad(slope, lam)
policy = lagrangian_policy(world, 0.8, beta)
cost, square = expectation(policy, world.cost), expectation(policy, world.cost**2)
left, right = torch.stack([slope, curvature]), torch.cat([limit - cost, (square - cost**2) / beta])
assert agree(left, right, ledger_row("dual-slope")) and ledger_row("dual-tight").holds

# %%
lams = [0.05 * k for k in range(31)]
values, slopes = ([f(world, lam, beta, 0.0).item() for lam in lams] for f in (dual_value, dual_gradient))
best = best_multiplier(world, beta, 0.0)
assert rising(best_multiplier(world, beta, limit) for limit in (0.4, 0.0, -0.4, -0.8))  # tighter limit, higher price
places = Stops("λ", list(range(31)), start=1, text=lambda place: f"{lams[place]:.2f}")
slider(lambda place: methods.dual(lams, values, slopes, place=place, best=best), places)

# %% [markdown]
# **Exercise 1.** One step of the loop: raise the price where the estimated cost is above its limit, lower it where it
# is below, never under 0. Return the new price, and how far it moved over $\eta$: the loop may stop when *that* is
# small.


# %%
def dual_update(lam, cost, limit, eta):
    """(new λ, |new λ − λ| / η) after one projected step of size η on the dual."""
    ### BEGIN SOLUTION
    moved = max(lam + eta * (cost - limit), 0.0)
    return moved, abs(moved - lam) / eta
    ### END SOLUTION


# %%
check("dual_update", dual_update)

# %% [markdown]
# Complementary slackness, $\lambda(\mathbb{E}[c] - d) = 0$, holds at the optimum. As a rule for stopping it is useless. At
# $\lambda = 0$ it is 0 however far the limit is exceeded.

# %%
moved, still_moving = dual_step(0.0, cost=0.9, limit=0.1, eta=0.5)  # the package's own version of your step
assert 0.0 * (0.9 - 0.1) == 0 and still_moving > 0.7

# %% [markdown]
# ## 2 C-DPO: DPO inside a loop
#
# C-DPO needs a reward and a cost; we learn both from the pairs (Bradley-Terry, and the level of the cost from the
# safety bits). Then it repeats four steps: relabel the pairs with $\sigma(r_\lambda(y_1) - r_\lambda(y_0))$, run DPO, draw
# samples to estimate the cost, take a dual step. We derived these steps from the method's abstract.
#
# These methods assume that *safer* labels follow Bradley-Terry under the cost, on mixed pairs too. So in this notebook our
# pairs do (`safer_by_cost`), and each method gets what it assumes. SafeDPO does not look at these labels.

# %%
done = METHODS["C-DPO"](world, pairs, beta=beta, seed=0, limit=0.0, samples=4000)
kept = unsafe_mass(world, done.logps).item()
cost, true_cost = (expected_cost(one, done.logps).item() for one in (done.learned, world))
distance = tv(done.logps, OPTIMA["C-DPO"](done.learned, beta=beta, limit=0.0)).item()
print(f"λ = {done.multiplier:.3f} after {len(done.history)} rounds and {done.costs.samples:,} samples")
print(f"expected cost {cost:+.3f} as learned, {true_cost:+.3f} in truth; TV to its optimum {distance:.4f}")
print(f"unsafe mass {kept:.3f}")
assert abs(cost) < 0.15 and distance < 0.05  # the limit holds within the noise of 4,000 samples
assert kept > 0.2  # and harm remains: the budget is spent

# %% [markdown]
# It meets *its* limit, on the cost *it* learned. The level of that cost is only as accurate as the bits that set it, so
# the true expected cost is another number. Here is the path of the loop, with the exact cost in place of samples.

# %%
exact = METHODS["C-DPO"](world, pairs, beta=beta, seed=0, limit=-0.5, models=world, samples=None, tolerance=1e-3)
rounds, titles = (
    range(1, len(exact.history) + 1),
    {"λ": "lambda", "expected cost": "cost", "unsafe mass": "unsafe_mass"},
)
panels = {title: {"C-DPO": [row[key] for row in exact.history]} for title, key in titles.items()}
assert tv(exact.logps, OPTIMA["C-DPO"](world, beta=beta, limit=-0.5)).item() < 1e-3
assert exact.history[0]["unsafe_mass"] > exact.history[-1]["unsafe_mass"] > 0.01
slider(lambda at: curves(list(rounds), panels, at=at), Stops("round", list(rounds), start=rounds[-1]))

# %% [markdown]
# There are two ways to ask for too much: a limit below the least attainable cost, and a step $\eta \ge 2 / \sup g''$. Both
# raise an error instead of returning a policy.

# %%
half = FiniteWorld(torch.tensor([[0.5, 0.5]]).log(), [[0.0, 0.0]], torch.tensor([[False, True]]))
c_dpo = METHODS["C-DPO"]
print(refusal(InfeasibleLimitError, c_dpo, world, pairs, beta=beta, seed=0, models=world, limit=-1.6))
own = {"limit": 0.45, "eta": 3.0, "samples": None, "rounds": 30, "steps": 50}
print(refusal(NotConvergedError, c_dpo, half, population(half), beta=0.1, seed=0, models=half, **own))

# %% [markdown]
# ## 3 Safe RLHF: another optimum
#
# Safe RLHF learns reward and cost too, then climbs with policy gradients. Its advantage is
# $(A_r - \lambda A_c)/(1 + \lambda)$, while the KL term stays $-\beta\,\mathrm{KL}$.
#
# **Predict.** With the same $\lambda$, where does it end, compared with C-DPO?

# %%
predict("same_lambda")

# %% [markdown]
# Dividing reward and cost by $1 + \lambda$ is multiplying $\beta$ by it:
#
# $$
# \pi_{\text{Safe RLHF}} \propto \pi_{\mathrm{ref}} \, e^{(r - \lambda c)/((1 + \lambda)\beta)}
# \quad \longrightarrow \quad \pi_{\mathrm{ref}} \, e^{-c/\beta} \quad (\lambda \to \infty) .
# $$
#
# (The kit's own derivation.) No price removes the unsafe mass; it has a floor.

# %%
floor = unsafe_mass(world, OPTIMA["DPO-harmless"](world, beta=beta)).item()  # π_ref e^{-c/β}
for lam in (1.0, 5.0, 100.0):
    found = safe_rlhf_policy(world, lam, beta), lagrangian_policy(world, lam, beta)
    harm = [unsafe_mass(world, policy).item() for policy in found]
    print("λ = {:<5g} unsafe mass: Safe RLHF {:.2e}, C-DPO {:.2e}, floor {:.2e}".format(lam, *harm, floor))
    assert harm[0] > floor and kl(found[0], world.ref_logps) < kl(found[1], world.ref_logps)
assert abs(unsafe_mass(world_a(), safe_rlhf_policy(world_a(), 5.0, 0.1)).item() - 3.4e-4) < 1e-5
assert ledger_row("method-safe-rlhf").holds


# %%
def same_price(lam):
    found = {"C-DPO": lagrangian_policy(world, lam, beta), "Safe RLHF": safe_rlhf_policy(world, lam, beta)}
    return bars(world, found, f"At λ = {lam:g}", measures=["expected reward", "expected cost"])


slider(same_price, Stops("λ", [0, 0.1, 0.2, 0.35, 0.5, 0.7, 1, 1.5, 2, 3, 4, 5], start=1))

# %% [markdown]
# Here is the method itself, with learned models and fresh samples at every step. Its $\lambda$ moves by
# $\log\lambda \leftarrow \log\lambda + \eta(\hat J_c - d)\lambda$:

# %%
rlhf = METHODS["Safe RLHF"](world, pairs, beta=beta, seed=0, limit=0.0, steps=1000 if FAST else 4000)
cost, kept = expected_cost(rlhf.learned, rlhf.logps).item(), unsafe_mass(world, rlhf.logps).item()
print(f"λ = {rlhf.multiplier:.3f}; learned cost {cost:+.3f}; unsafe mass {kept:.3f}; {rlhf.costs.samples:,} samples,")
print(f"{rlhf.costs.tables} tables (reward, cost, policy, two critics)")
assert abs(cost) < 0.15 and kept > 0.2

# %% [markdown]
# ## 4 Two steps of DPO
#
# The tilt factorises:
# $\pi_{\mathrm{ref}}\, e^{(r - \lambda c)/\beta} = \left[\pi_{\mathrm{ref}}\, e^{r/\beta}\right] e^{-\lambda c/\beta}$.
# So an expected-cost optimum is reached by two DPO runs without any loop. That is **SACPO**: DPO on helpful pairs at
# $\beta$, then DPO on safer pairs, with the first result as reference.
#
# **Exercise 2.** `dpo_optimum(reference, scores, beta)` is where DPO ends. Write SACPO's end with two calls. Which
# temperature does the second call need?


# %%
def dpo_optimum(reference, scores, beta):
    """Where DPO ends: log of reference · e^{scores/β} / Z, (P, A)."""
    return (reference + scores / beta).log_softmax(-1)


def sacpo_steps(ref_logps, reward, cost, beta, lam):
    """SACPO's policy at price λ >= 0, (P, A) log-probabilities, by two calls of dpo_optimum."""
    ### BEGIN SOLUTION
    helpful = dpo_optimum(ref_logps, reward, beta)
    return dpo_optimum(helpful, -cost, beta / lam if lam else math.inf)
    ### END SOLUTION


# %%
check("sacpo_steps", sacpo_steps)

# %% [markdown]
# Three relatives, each one formula away, each trained here on the exact pairs:
#
# - **PD-DPO** has SACPO's second stage (in its loss $\pi_{\mathrm{ref}}$ cancels) and another rule for $\lambda$:
#   samples with binary cost labels.
# - **P-SACPO** averages the *weights* of the helpful and the SACPO model. For a table weights are logits, and
#   averaging those is SACPO at price $q\lambda$, exactly.
# - **MODPO** trains a safety DPO first, then DPO on helpful pairs with that model's implicit reward as a margin:
#   $\propto \pi_{\mathrm{ref}}\, e^{(w r - (1-w) c)/\beta}$. It divides by nothing, so $w$ also changes how far it
#   leaves the reference.

# %%
for name, own in (
    ("SACPO", {"lam": 1.0}),
    ("P-SACPO", {"lam": 10.0, "q": 0.1}),
    ("MODPO", {"weight": 0.5}),
    ("MODPO", {"weight": 0.2}),
    ("SafeDPO", {}),
):
    done, stated = METHODS[name](world, pairs, beta=beta, seed=0, steps=1000, **own), OPTIMA[name]
    distance = tv(done.logps, stated(world, beta=beta, **own)).item()
    print(f"{name:8} {own}: unsafe mass {unsafe_mass(world, done.logps).item():.4f}, TV to its optimum {distance:.0e}")
    assert distance < 1e-3
mixed, single = OPTIMA["P-SACPO"](world, beta=beta, lam=10.0, q=0.1), OPTIMA["SACPO"](world, beta=beta, lam=1.0)
assert tv(mixed, single).item() < 1e-12
assert all(ledger_row(f"method-{name}").holds for name in ("sacpo", "pd-dpo", "p-sacpo", "modpo"))

# %% [markdown]
# So MODPO (a question that reviewers asked) is a *linear* trade: at $w = 0.5$ it keeps 12 % unsafe mass here, at
# $w = 0.2$ less, for less reward. No $w > 0$ gives $\pi^\ast$.

# %%
harm = {w: unsafe_mass(world, OPTIMA["MODPO"](world, beta=beta, weight=w)).item() for w in (0.01, 0.2, 0.5, 0.9)}
assert rising(harm.values()) and harm[0.01] > 1e-3  # it falls with w, and never to nothing
assert abs(harm[0.5] - 0.12) < 0.005
print({w: f"{value:.4f}" for w, value in harm.items()})

# %% [markdown]
# ## 5 Where each one ends, and why
#
# **Predict.** Which methods remove unsafe answers entirely?

# %%
predict("who_forbids")

# %% [markdown]
# **Predict.** Put $T$ in front of IPO, whose loss is a square. What happens to unsafe mass?

# %%
predict("bounded_loss")

# %%
ends = {}
for name in OPTIMA.keys() - WIDER - {"C-DPO", "Safe RLHF", "PD-DPO"}:  # these three find their price by sampling
    done = METHODS[name](world, pairs, beta=beta, seed=0, steps=2000)
    distance, ends[name] = tv(done.logps, OPTIMA[name](world, beta=beta)).item(), unsafe_mass(world, done.logps).item()
    print(f"{name:15} TV to its stated optimum {distance:.0e}   unsafe mass {ends[name]:.2e}")
    assert distance < 1e-3
forbids = {name for name, harm in ends.items() if harm < 1e-6} - {"P-SACPO"}  # at λ = 10, q = .5: tiny, and not 0
assert forbids == {"SafeDPO", "T only", "DPO-safebetter"}
ipo = METHODS["IPO"](world, pairs, beta=beta, seed=0, rule="safedpo")
certain = METHODS["SACPO"](world, population(world), beta=beta, seed=0)  # here the safe answer is surely the safer one
print("unsafe mass of IPO after T, of SACPO with certain safer labels:")
print(*(f"{unsafe_mass(world, one.logps).item():.1e}" for one in (ipo, certain)))
assert unsafe_mass(world, ipo.logps) > 0.01 and unsafe_mass(world, certain.logps) < 1e-6

# %% [markdown]
# | method | ends at | because |
# |---|---|---|
# | SafeDPO, T only, safebetter | $\pi^\ast$ | safe over unsafe is certain; the logistic loss has no finite minimum |
# | Δ only | $\pi_C$, $C = \Delta$ | the margin is a fine; labels stay as they were |
# | DPO-helpful, WDPO | $\pi_{\mathrm{ref}} e^{r/\beta}$ | no safety; WDPO's extra term is least at the true probabilities too |
# | DPO-harmless | $\pi_{\mathrm{ref}} e^{-c/\beta}$ | no helpfulness |
# | C-DPO, SACPO, PD-DPO | $\pi_{\mathrm{ref}} e^{(r - \lambda c)/\beta}$ | a price on the mean |
# | Safe RLHF | $\pi_{\mathrm{ref}} e^{(r - \lambda c)/((1+\lambda)\beta)}$ | the advantage is divided, the KL is not |
# | MODPO | $\pi_{\mathrm{ref}} e^{(w r - (1-w) c)/\beta}$ | a weighted sum |
# | IPO, BFPO | least squares of bounded gaps | a square has a finite minimum; unsafe mass remains |
# | SEE-DPO | $\pi_{\mathrm{ref}}^{\beta/(\beta+\gamma)} e^{r/(\beta+\gamma)}$ | an entropy bonus flattens |
# | cDPO, robust DPO, KLDPO | no closed form here | see 04 for wrong labels; KLDPO looks at the hardest pairs |
#
# WDPO and KLDPO are robust versions of DPO, and SEE-DPO adds an entropy bonus; their docstrings give the losses.
#
# So certainty makes other methods safe too. Give SACPO *certain* safer labels, and its unsafe mass vanishes as well.

# %% [markdown]
# ## 6 The Pareto figure
#
# Every method has its own curve. The first slider picks the method, the second moves along its own parameter. Helpfulness
# is upwards, harm to the right (logarithmic; the left edge is "none"). These are exact optima, so the figure compares
# *aims*.

# %%
points, trades = methods.trade_offs(world, beta), methods.TRADES
star, named = (
    (0.0, expected_reward(world, optimal_policy(world, beta)).item()),
    {m: one[0] for m, one in trades.items()},
)
mass = {name: [row[1] for row in rows] for name, rows in points.items()}
traded = ("Δ only", "SACPO", "P-SACPO", "C-DPO", "Safe RLHF", "MODPO")
assert all(mass[name] == sorted(mass[name], reverse=True) for name in traded)  # each parameter trades, one way
assert max(mass["SafeDPO"]) == 0 and min(mass["Safe RLHF"]) > 1e-3 and min(mass["MODPO"]) > 1e-3  # who reaches the edge
assert all(row[3] < 0.01 for row in points["Δ only"][-3:]) and min(row[3] for row in points["SACPO"]) > 0.03
stops = Stops("method", list(trades), start="SACPO"), Stops("its parameter", list(range(11)), start=5)
slider(lambda name, place: methods.frontier(points, named, method=name, place=place, optimum=star), *stops)

# %% [markdown]
# **Exercise 3.** Move SACPO's parameter until its unsafe mass is below 0.01 for the first time. Which expected reward
# does it have there?


# %%
def read_pareto():
    """Expected reward of SACPO at the first place of its slider with unsafe mass below 0.01."""
    ### BEGIN SOLUTION
    return next(reward for _, harm, reward, _ in points["SACPO"] if harm < 0.01)
    ### END SOLUTION


# %%
check("read_pareto", read_pareto)

# %% [markdown]
# What does the hard constraint **buy**? No harm, for every $\beta$ and without a price to tune; and no method at that edge has
# more reward. What does it **cost**? If you accept about 3 % unsafe answers, you can have more reward. SACPO at
# $\lambda = 1.5$ has slightly more reward than $\pi^\ast$ with less than 1 % harm. Whether 1 % is allowed is not a question for
# mathematics.
#
# Look at "Δ only" as well. At $\Delta = 6$ it has less harm *and* more reward than SACPO at $\lambda = 2.5$. Its fine is
# for being unsafe. A price on cost also pays for being *more* careful than safe, here with refusals. As an aim the fine
# is hard to beat. Notebook 04 showed its weakness: training on few pairs does not reach it.

# %%
at = next(row for row in points["SACPO"] if row[0] == 1.5)
assert at[1] < 0.01 and at[2] > star[1]  # a little harm, a little more reward
fine, price = points["Δ only"][7], points["SACPO"][8]  # Δ = 6 and λ = 2.5
assert fine[1] < price[1] and fine[2] > price[2] + 0.05  # less harm and more reward
assert max(reward for rows in points.values() for _, harm, reward, _ in rows if harm < 1e-6) < star[1] + 1e-5
print(f"π*: reward {star[1]:.4f}, unsafe mass 0; SACPO at λ = 1.5: reward {at[2]:.4f}, unsafe mass {at[1]:.4f}")

# %% [markdown]
# ## 7 The same 200 pairs
#
# Optima are aims. Now each method gets the same sampled data, 200 pairs, twenty times, and everything it uses is
# counted.

# %%
few = ["SafeDPO", "Delta only", "SACPO", "MODPO", "C-DPO", "DPO-helpful"]
names = few if FAST else METHODS.keys() - WIDER - {"robust DPO"}
runs = methods.on_200_pairs(world, beta, names, steps=200 if FAST else 500, rlhf_steps=400 if FAST else 1000)

# %%
found, used = methods.means(world, beta, runs), {name: done[0].costs for name, done in runs.items()}
harm, far = ({name: row[what] for name, row in found.items()} for what in ("unsafe mass", "TV to π*"))
assert harm["SafeDPO"][2] < 1e-3 and all(harm[name][0] > 0.02 for name in ("DPO-helpful", "SACPO", "MODPO", "C-DPO"))
assert used["SafeDPO"].tables == 1 and used["SafeDPO"].samples == 0
assert used["SACPO"].tables == used["MODPO"].tables == 2 and used["C-DPO"].tables == 3 and used["C-DPO"].samples > 0
assert far["SafeDPO"][2] < min(far[name][1] for name in ("DPO-helpful", "C-DPO"))
methods.cost_table(found, runs)

# %%
measured = {name: methods.measured(world, beta, runs[name]) for name in [*few, "BFPO", "Safe RLHF"] if name in runs}
clouds = {  # one dot for each of 20 samples
    name: [
        ((harm,) * 3, (reward,) * 3) for harm, reward in zip(row["unsafe mass"], row["expected reward"], strict=True)
    ]
    for name, row in measured.items()
}
ranges = {"x_range": (-0.03, 1.03), "y_range": (-0.2, 1.8)}
slider(lambda name: pareto(clouds, highlight=name, **ranges), Stops("method", list(clouds)))

# %% [markdown]
# SafeDPO asks for two bits and one preference a pair, SACPO and MODPO for two preferences, C-DPO and Safe RLHF for all of
# them. A table stands for a network. Distance to $\pi^\ast$ favours SafeDPO by construction, because $\pi^\ast$ is *its* aim.
# Unsafe mass and reward favour no method.
#
# ## 8 Claims of two papers, seen from here
#
# | claim | seen here? |
# |---|---|
# | C-DPO: the dual loop meets the expected-cost limit | yes, on the learned cost, within the noise of its samples (2) |
# | C-DPO: it is safer than DPO | yes: every price above 0 lowers unsafe mass (6) |
# | C-DPO: higher *reward* than Safe RLHF under the same constraint | yes, at up to twice the KL: below |
# | Safe RLHF: the constraint is met with a moving $\lambda$ | yes (3), with a floor that its papers do not state |
# | harmful answers fall from 53 % to 2 % in three rounds | no: that is about text, people and models |
# | both: human and GPT-4 preferences | not testable here: our answers contain no text |
#
# The third line is about exact optima under one limit. C-DPO's optimum has the best reward *minus* $\beta$ KL by definition,
# and Safe RLHF's family does not contain it. It also has the higher reward at each limit below, and pays for that with
# more KL.

# %%
for limit, rewards in ((-0.9, (0.81, 0.50)), (-0.5, None), (0.0, (1.04, 1.00)), (0.5, None)):
    found = [OPTIMA[name](world, beta=beta, limit=limit) for name in ("C-DPO", "Safe RLHF")]
    ours, theirs = ([f(world, policy).item() for f in (expected_reward, expected_cost)] for policy in found)
    gain = -torch.stack([objective(world, policy, beta, penalty=0.0) for policy in found]).diff(dim=0).item()
    moved = [kl(policy, world.ref_logps).item() for policy in found]
    print(
        f"limit {limit:+.1f}: C-DPO's objective is higher by {gain:.4f}; rewards {ours[0]:.2f} and {theirs[0]:.2f},",
        end=" ",
    )
    print("KL to the reference {:.2f} and {:.2f}".format(*moved))
    assert abs(ours[1] - limit) < 1e-6 and gain > 0
    assert ours[0] > theirs[0] and moved[0] > moved[1]  # more reward, farther from the reference
    assert rewards is None or all(abs(a[0] - b) < 0.005 for a, b in zip((ours, theirs), rewards, strict=True))

# %% [markdown]
# ## Recap
#
# $$
# \begin{aligned}
# \text{dual} \quad & g(\lambda) = \beta \log Z_\lambda + \lambda d, \quad
# g' = d - \mathbb{E}_{\pi_\lambda}[c], \quad g'' = \mathrm{Var}(c)/\beta \\
# \text{stop when} \quad & \lvert \lambda - [\lambda + \eta(\hat J_c - d)]_+ \rvert / \eta \text{ is small} \\
# \text{a price} \quad & \pi_{\mathrm{ref}}\, e^{(r - \lambda c)/\beta}:
# \text{ C-DPO, SACPO, PD-DPO; some harm for every } \lambda < \infty \\
# \text{a ban} \quad & \pi_{\mathrm{ref}}\, e^{r/\beta} \text{ on safe answers: SafeDPO, from two bits, one table, no samples}
# \end{aligned}
# $$
#
# **What we have not shown.** That any of this survives in a language model: here every optimum is reachable. The
# order of the methods on *your* task: six answers chosen by us are no benchmark. C-DPO, PD-DPO, SEE-DPO and WDPO are
# built from derived formulas, marked so in their docstrings. In Safe RLHF an answer is one action, so clipping and
# GAE have nothing to do.

# %%
progress("05")

# %% [markdown]
# **References.** C-DPO: arXiv 2403.02475. Safe RLHF: 2310.12773. SACPO: 2404.11049. PD-DPO: 2510.05703. MODPO:
# 2310.03708. BFPO: 2408.15313. IPO: 2310.12036. WDPO and KLDPO: 2502.01930. SEE-DPO: 2411.04712. Robust DPO:
# 2403.00409. SafeDPO: 2505.20065.
#
# **Next:** [06 · A language model you can enumerate](06_a_language_model_you_can_enumerate.ipynb).
