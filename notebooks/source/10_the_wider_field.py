# %% [markdown]
# # 10 · The wider field
#
# Notebook 05 compared four methods closely. This one holds the rest of the field: each with its loss or loop written
# down, its optimum computed, and its cost counted. Then it asks which premises the theorems of the
# course really need, and finds a smallest world in which each theorem fails without one of them.
#
# **Afterwards you can**
# - order constraints by what they allow: on the mean over prompts, in each prompt, for each answer;
# - write down the loss or the loop of the methods around SafeDPO, and say where each one ends;
# - say what is known, what is derived here, and what could not be found in public;
# - take a premise away from a proposition and judge the counterexample.
#
# **Time** about 40 minutes. **You need** notebooks 02, 03 and 05.
#
# Proofs are this kit's own throughout: the appendix of SafeDPO and the body of C-DPO could not be read. A formula that
# we derived is marked so.
#
# <!-- links -->

# %%
# SET-UP
from safedpo.show.figures.lines import lines

world, beta = six_answers(), 0.5
pairs = population(world)

# %% [markdown]
# ## 1 The ladder of constraints
#
# SafeDPO forbids each unsafe *answer*. C-DPO and Safe RLHF limit the expected cost on the *mean over prompts*. **RePO**
# (arXiv 2410.19933) stands between them: an expected cost of at most $d$ for *each prompt*. A policy that is
# safe on average may pay for harm on one prompt with refusals on another.
#
# $$
# \pi_{\text{RePO}}(y \mid x) \propto \pi_{\mathrm{ref}}(y \mid x)\, e^{(r(x, y) - \lambda_x c(x, y))/\beta},
# \qquad \lambda_x \ge 0 \text{ the least price that meets the limit at } x
# $$
#
# (derived: one dual problem for each prompt).
#
# **Predict.** With costs 0 and 1 and the limit $d = 0$, which of the three sets of policies is the largest?

# %%
predict("ladder_at_zero")

# %%

four, limit = random_world(7, prompts=4, answers=5), 0.1
ladder = {"mean": OPTIMA["C-DPO"], "each prompt": OPTIMA["RePO"]}
ladder = {name: optimum(four, beta=beta, limit=limit) for name, optimum in ladder.items()}
ladder["each answer"], value = optimal_policy(four, beta), {}
for name, policy in ladder.items():
    costs, harm = expectation(policy, four.cost), unsafe_mass(four, policy).mean()
    value[name] = objective(four, policy, beta, penalty=0.0).mean().item()
    print(f"{name:12} costs {costs.numpy().round(3)}, value {value[name]:.4f}, unsafe mass {harm:.3f}")
assert value["mean"] > value["each prompt"] > value["each answer"]
assert expectation(ladder["mean"], four.cost).max() > limit + 0.5  # safe on average, not on every prompt
assert expectation(ladder["each prompt"], four.cost).max() < limit + 1e-9
assert ledger_row("method-repo").holds and ledger_row("constraint-ladder").holds

# %% [markdown]
# **Exercise 1** (10 minutes, ●●○). Find the price of each prompt yourself. The cost under $\pi_\lambda$ falls as
# $\lambda$ rises, so a loop that halves an interval will do. A prompt that is within its limit for free has price 0.


# %%
def prompt_prices(ref_logps, reward, cost, beta, limit):
    """The least λ_x >= 0 at which each prompt's expected cost is at most `limit`, (P,). No price is above 100."""
    ### BEGIN SOLUTION
    low, high = torch.zeros(len(cost), dtype=torch.float64), torch.full((len(cost),), 100.0, dtype=torch.float64)

    def too_dear(lam):
        policy = (ref_logps + (reward - lam[:, None] * cost) / beta).softmax(-1)
        return (policy * cost).sum(-1) > limit

    free = ~too_dear(low)
    for _ in range(80):
        middle = (low + high) / 2
        over = too_dear(middle)
        low, high = torch.where(over, middle, low), torch.where(over, high, middle)
    return torch.where(free, 0.0, high)
    ### END SOLUTION


# %%
check("prompt_prices", prompt_prices)

# %% [markdown]
# ## 2 The same optimum for less
#
# Notebook 05 ran C-DPO's loop. Some facts about it, each a line of the ledger:

# %%
for claim in (
    "dual-step-bound",
    "dual-one-prompt",
    "dual-hard-limit",
    "cdpo-relabelling",
    "cdpo-to-safedpo",
    "cdpo-more-reward",
):
    row = ledger_row(claim)
    print(f"{row.residual:.0e}  {row.statement}")
    assert row.holds

# %% [markdown]
# The last line is C-DPO's own claim: more *reward* than Safe RLHF under the same constraint. It is true in the exact
# world, and the reason is one line (derived): Safe RLHF at price $\mu$ *is* C-DPO's optimum at $(1 + \mu)\beta$, and under one
# limit a smaller $\beta$ never has less reward. It also never has less KL.
#
# **MoCAN and PeCAN** (arXiv 2405.19544) find the price once, on samples of the *reference*, and then train once:
#
# $$
# \lambda^\ast = \operatorname{argmin}_{\lambda \ge 0} \; \beta\, \mathbb{E}_x \log \mathbb{E}_{\pi_{\mathrm{ref}}}
# e^{(r + \lambda(d - c))/\beta}, \qquad \text{then DPO on pairs relabelled with } \sigma(w_1 - w_0),\; w = r - \lambda^\ast c .
# $$
#
# MoCAN's $r$ and $c$ are learned models; PeCAN's are $\beta$ times the log-ratios of a helpful and a safe DPO model.
# **CS-RLHF** (arXiv 2510.03520) has no dual at all but a fixed penalty on the excess alone,
#
# $$
# \max_\pi \; J_r(\pi) - \beta\,\mathrm{KL} - \lambda \max(J_c(\pi) - d, 0) ,
# $$
#
# which is *exact*: from $\lambda \ge \lambda^\ast$ on, its optimum is C-DPO's (derived).

# %%

limit, safer = -0.5, safer_by_cost(world, pairs)
aim = OPTIMA["C-DPO"](world, beta=beta, limit=limit)
loops = {
    "C-DPO": {"samples": 2000, "tolerance": 0.1},
    "MoCAN": {"samples": 4000, "steps": 1000},
    "PeCAN": {"samples": 4000, "steps": 1000},
    "CS-RLHF": {"samples": 64, "steps": 1000 if FAST else 3000},
}
for name, own in loops.items():
    models = {} if name == "PeCAN" else {"models": world}
    done = METHODS[name](world, safer, beta=beta, seed=0, limit=limit, **own, **models)
    used, far = done.costs, tv(done.logps, aim).item()
    print(
        f"{name:8} TV to C-DPO's optimum {far:.3f}; {used.tables} tables, {used.samples:,} samples, {used.steps:,} steps"
    )
    assert far < (0.15 if name == "CS-RLHF" else 0.05)
assert all(ledger_row(f"method-{name}").holds for name in ("mocan", "pecan", "cs-rlhf"))

# %% [markdown]
# ## 3 A test at the door
#
# **HC-RLHF** (arXiv 2506.08266) trains against a tightened limit and then asks once more, on fresh samples: the policy is
# handed out only if an upper confidence bound of its cost is below the limit. Otherwise the answer is "no solution". The
# test suits *any* policy, whatever trained it. With costs between $c_{\min}$ and $c_{\max}$, Hoeffding's bound is
#
# $$
# \bar c + (c_{\max} - c_{\min}) \sqrt{\log(1/\alpha) / (2n)} \;\le\; d .
# $$
#
# **Exercise 2** (5 minutes, ●○○). Turn the question around: how many samples does the test need, so that a policy
# whose cost lies `room` below the limit passes when its sampled mean is exact?


# %%
def samples_needed(low, high, room, alpha):
    """The least whole number n at which the width of the bound is at most `room`."""
    ### BEGIN SOLUTION
    return math.ceil(((high - low) / room) ** 2 * math.log(1 / alpha) / 2)
    ### END SOLUTION


# %%
check("samples_needed", samples_needed)

# %%

for name, own in (("SafeDPO", {}), ("C-DPO", {"limit": -0.3}), ("DPO-helpful", {})):
    test = safety_test(world, OPTIMA[name](world, beta=beta, **own), limit=0.0, samples=2000, alpha=0.05)
    print(
        f"{name:12} mean {test.mean:+.3f}, at most {test.bound:+.3f} with 95 %: {'passes' if test.passed else 'no solution'}"
    )
    assert test.passed == (name != "DPO-helpful")
assert ledger_row("method-hc-rlhf").holds

# %% [markdown]
# ## 4 Losses around DPO
#
# One table and one loss each. $m$ is the reward margin, $\text{gap} = m/\beta$, and $\ell = -\log\sigma(m)$.
#
# | method | loss | optimum |
# |---|---|---|
# | IPO | $(\text{gap} - \frac{1}{2\beta})^2$ | $\pi_{\mathrm{ref}}\, e^{\text{mean win rate}/\beta}$ |
# | BFPO | $(\text{gap} - t/\beta)^2$; $t = \frac12, 1, -1, -\frac12$ for SS, SU, US, UU | least squares of these targets |
# | conservative DPO | $-(1-e)\log\sigma(m) - e\log\sigma(-m)$ | $m = \log\frac{1-e}{e}$ on a certain pair |
# | robust DPO | $[-(1-e)\log\sigma(m) + e\log\sigma(-m)]/(1-2e)$ | DPO's, in the mean over flipped labels |
# | KLDPO | mean of $w\,\ell$, $w = \min(10, e^{(\ell - \bar\ell)/\tau})$, no gradient through $w$ | no closed form |
# | WDPO | $\bar\ell + \rho\,(\text{mean } \lVert\nabla\ell\rVert^2)^{1/2}$ | DPO's, with exact labels |
# | SEE-DPO | $-\log\sigma((\beta+\gamma)\,d - \beta\,d')$ | $\pi_{\mathrm{ref}}^{\beta/(\beta+\gamma)} e^{r/(\beta+\gamma)}$ |
#
# In the last line $d = \log\pi(y_w) - \log\pi(y_l)$, and $d'$ is the same under the reference.
#
# Sources: arXiv 2310.12036 (IPO), 2408.15313 (BFPO), 2403.00409 (robust), 2502.01930 (KLDPO, WDPO), 2411.04712 (SEE-DPO,
# derived here for responses).

# %%
for name in ("IPO", "BFPO", "cDPO", "robust DPO", "KLDPO", "WDPO", "SEE-DPO"):
    done = METHODS[name](world, pairs, beta=beta, seed=0, steps=500 if FAST else 1500, tolerance=1.0)
    stated = (
        f"TV to its stated optimum {tv(done.logps, OPTIMA[name](world, beta=beta)).item():.0e}"
        if name in OPTIMA
        else "no closed form"
    )
    print(f"{name:10} unsafe mass {unsafe_mass(world, done.logps).item():.3f}; {stated}")
    assert unsafe_mass(world, done.logps) > 0.01
    assert name not in OPTIMA or tv(done.logps, OPTIMA[name](world, beta=beta)) < 1e-2
assert all(ledger_row(f"method-{name}").holds for name in ("ipo", "bfpo", "see-dpo", "wdpo", "harmless"))
assert all(ledger_row(f"noise-{what}").holds for what in ("conservative", "robust"))
assert ledger_row("methods-trained").holds and ledger_row("slope-of-loss").holds  # the programs, and each loss's slope

# %% [markdown]
# None of them removes the unsafe answers by itself: none of these losses treats safe over unsafe as certain.
#
# ## 5 Three that the literature lists beside SafeDPO
#
# **Stable PO** (arXiv 2507.07723) keeps the winner's own probability from falling: among the policies that fit the winners
# nearly best, take the one with the least preference loss. As a penalty (its form as others report it; the slack and the size of
# $\gamma$ are not public),
#
# $$
# \min_\pi \; L_{\text{DPO}}(\pi) + \gamma\,\big(L_{\text{SFT}}(\pi) - L_{\text{SFT}}^\ast\big), \qquad
# L_{\text{SFT}} = -\textstyle\sum \log \pi(y_w) .
# $$
#
# **APO** (arXiv 2311.08045) is a game. The reward must rank human pairs *and* prefer the golden answers to what the
# policy says today; the policy is the reward's best response:
#
# $$
# \min_r \max_\pi \; L_{\text{rank}}(r) + a\,\big(\mathbb{E}_\pi[r] - \mathbb{E}_{\text{gold}}[r] - \beta\,\mathrm{KL}(\pi \,\|\,
# \pi_{\mathrm{ref}})\big) .
# $$
#
# Put the best response $r = \beta \log (\pi/\pi_{\mathrm{ref}}) + \text{const}$ into it (derived): what is left is DPO's loss plus
# $a\beta$ times the loss of supervised training. **The game is Stable PO with $\gamma = a\beta$.** Without the human pairs only
# the second term is left, and the policy becomes the law of the golden answers.
#
# **B-DPO** (arXiv 2603.22829) weights the winner's and the loser's term by the mutual information of prompt and answer. Its formula is
# *not public*, and two summaries disagree on the direction. So this is a family, with both signs:
#
# $$
# -\log\sigma\big(s\,\beta\,(a_w \Delta_w - a_l \Delta_l)\big), \quad \Delta = \log\tfrac{\pi}{\pi_{\mathrm{ref}}}, \quad
# (a_w, a_l) = 2\,\mathrm{softmax}\big(\pm(\text{pmi}_w, \text{pmi}_l)/\tau\big) .
# $$

# %%

wins = winner_weight(world, pairs)
share = (wins / wins.sum()).log()
apo = METHODS["APO"](world, pairs, beta=beta, seed=0, weight=0.5, rounds=600)
stable = METHODS["Stable PO"](world, pairs, beta=beta, seed=0, gamma=0.5 * beta, steps=600)
game = METHODS["APO"](world, pairs, beta=beta, seed=0, human_pairs=False, rounds=600)
print(f"APO at a = 0.5 and Stable PO at γ = 0.5 β: TV {tv(apo.logps, stable.logps).item():.0e}")
print(f"APO without human pairs and the golden answers' law: TV {tv(game.logps, share).item():.0e}")
anchored = [OPTIMA["Stable PO"](world, beta=0.1, gamma=gamma) for gamma in (0.0, 0.01, 0.1, 1.0)]
winners = [(share.exp() * policy).sum().item() for policy in anchored]
print("mean log π(y_w) at γ = 0, 0.01, 0.1, 1:", [round(w, 3) for w in winners])
assert tv(apo.logps, stable.logps) < 1e-3 and tv(game.logps, share) < 1e-3 and winners == sorted(winners)
assert all(ledger_row(claim).holds for claim in ("method-stable-po", "method-apo", "apo-gold"))

# %%

four = random_world(5, prompts=4, answers=2)
ended = {
    sign: METHODS["B-DPO"](four, population(four), beta=1.0, seed=0, sign=sign, tolerance=1.0).logps for sign in (1, -1)
}
print("information of prompt and answer:", pointwise_information(four)[:, 0].numpy().round(2))
print("the two signs end", tv(ended[1], ended[-1]).numpy().round(3), "apart")
assert tv(ended[1], ended[-1]).max() > 0.01 and ledger_row("method-b-dpo").holds

# %% [markdown]
# ## 6 SafeDPO's own relatives
#
# **BSO** (arXiv 2605.12339) is one loss for every convex function $h$. On $T(D)$, with $\log R = -(m + C(h_w - h_l))$ and
# the generator written $\varphi$ here to spare the letter,
#
# $$
# \ell(R) = \varphi'(R)\,R - \varphi(R) - \varphi'(1/R) .
# $$
#
# The logistic generator gives $\log(1 + R)$: SafeDPO with $\Delta = C$, to the last bit. Where labels are *not* certain
# every generator has the same optimum. $T$'s certain pairs need more: the pull must vanish as $m$ grows. It does for the
# logistic generator. The published one ("SBA") pulls ever harder, like $e^{0.2 m}/4$. Only its clamp at $\log R = -30$
# lets it rest (derived).

# %%
m = [0.5 * k for k in range(-8, 81)]
pulls = {
    name: bso_pull(-torch.tensor(m, dtype=torch.float64), generator=name).clamp(max=100).tolist() for name in GENERATORS
}
assert pulls["logistic"][-1] < 1e-10 and pulls["sba"][m.index(29)] > 50 and pulls["sba"][m.index(31)] == 0
assert ledger_row("method-bso").holds and ledger_row("bso-certain-pairs").holds


def pull(at):
    return lines(m, {"pull": pulls}, at=at, title="m", ranges={"pull": (0, 100)}, setting="On a certain pair")


slider(pull, Stops("m", list(range(0, 89, 4)), start=8, text=lambda at: f"{m[at]:g}"))

# %% [markdown]
# **Cat-DPO** (arXiv 2604.17299) has a margin for each category of harm, raised while that category is still too
# frequent. Its rule could not be read; ours is $\Delta_k \leftarrow \max(\Delta_k + \eta(u_k - u^\ast), 0)$. By Prop. 4.4 no
# finite margins move the optimum, so all of them end at $\pi^\ast$: only the way there differs.

# %%
done = METHODS["Cat-DPO"](
    world, population(world), beta=beta, seed=0, target=0.0005, samples=20_000, steps=2, eta=200.0
)
for step in done.history[:8]:
    print(f"margins {step['least']:.2f} to {step['most']:.2f}: unsafe mass {step['unsafe_mass']:.1e}")
assert len(done.history) > 2 and done.history[-1]["unsafe_mass"] < 0.002 and ledger_row("method-cat-dpo").holds

# %% [markdown]
# ## 7 T under the hand
#
# Four answers, six pairs. The first slider says which answers are unsafe. The second says what $T$ is told: the truth, or
# one wrong bit. Blue labels are kept, orange ones swapped, grey ones dropped; on the right are the two sums of Prop. 4.3.

# %%
import itertools

from safedpo.finite.hand import fates
from safedpo.show.figures.field.transformation import transformation

reward = torch.tensor([1.0, 0.3, 1.6, -0.4], dtype=torch.float64)
patterns, told = ["".join(bits) for bits in itertools.product("SU", repeat=4)], ["the truth", 1, 2, 3, 4]


def by_hand(bits, wrong):
    unsafe = torch.tensor([bit == "U" for bit in bits])
    seen = unsafe if wrong == "the truth" else unsafe ^ (torch.arange(1, 5) == wrong)
    found = fates(reward, unsafe, seen)
    shares = {"kept": found.kept, "swapped": found.swapped, "dropped": found.dropped}
    setting = f"Answers {bits}, T is told {'the truth' if wrong == 'the truth' else f'answer {wrong} wrongly'}"
    return transformation(found.pairs, shares, (found.intractable, found.tractable), setting=setting, top=7.0)


assert all(by_hand(bits, "the truth")[1].endswith(": equal.") for bits in patterns)
assert by_hand("SSUU", 3)[1].endswith("not equal.")
slider(
    by_hand,
    Stops("answers", patterns, start="SSUU"),
    Stops("T is told", told, text=lambda w: w if w == "the truth" else f"{w} wrong"),
)

# %% [markdown]
# Dropping UU pairs has a price in weights. As *means* the two sides differ by $1/(1 - p_{UU})$; a prompt keeps the share
# $1 - p_{UU}(x)$ of its weight. In a table that moves no optimum.

# %%
for claim in ("uu-renormalised", "prompt-weights", "bradley-terry-shift", "loss-entropy-kl"):
    row = ledger_row(claim)
    print(f"{row.residual:.0e}  {row.statement}")
    assert row.holds

# %% [markdown]
# **The first loss.** At $\pi = \pi_{\mathrm{ref}}$ every reward margin is 0. So the mean loss knows only $\Delta$ and the share $f$ of
# safe/unsafe pairs: $\log 2 + f\,(\mathrm{softplus}(\Delta) - \log 2)$.

# %%
deltas, shares = [0.25 * k for k in range(81)], [0, 0.1, 0.25, 0.5, 0.75, 1]
mean = {f: [math.log(2) + f * (math.log1p(math.exp(d)) - math.log(2)) for d in deltas] for f in shares}
weight = [1 / (1 + math.exp(-d)) for d in deltas]
ranges, places = (
    {"loss": (0, 21), "first weight": (0, 1.05)},
    Stops("Δ", list(range(0, 81, 4)), start=40, text=lambda at: f"{deltas[at]:g}"),
)


def step_zero(f, at):
    curves = {"loss": {"mean": mean[f]}, "first weight": {"mixed pair": weight}}
    return lines(deltas, curves, at=at, title="Δ", ranges=ranges, setting=f"With a share f = {f:g} of mixed pairs")


assert abs(mean[1][40] - 10.0000454) < 1e-6 and ledger_row("step0-loss").holds  # softplus(10)
slider(step_zero, Stops("f", shares, start=0.25), places)

# %% [markdown]
# **The choice of g.** SafeDAA puts $T$ and $\Delta$ in front of any loss $g(m)$. What counts far out is whether $g$ ever has
# enough: the square and the hinge do, so they keep unsafe mass; the logistic and the exponential do not.

# %%
from safedpo.finite.claims.safedaa import LOSSES

m, curves = torch.linspace(-4, 10, 57, dtype=torch.float64), {}
for delta in (0.0, 2.0, 5.0):
    at = m.clone().requires_grad_()
    g = {name: loss(at - delta) for name, loss in LOSSES.items()}
    pull = {name: -torch.autograd.grad(value.sum(), at, retain_graph=True)[0] for name, value in g.items()}
    shown = {"g": g, "pull": pull}
    curves[delta] = {p: {n: v.detach().clamp(-10, 10).tolist() for n, v in c.items()} for p, c in shown.items()}


def choice(delta, at):
    ranges = {"g": (0, 10), "pull": (-10, 10)}
    return lines(m.tolist(), curves[delta], at=at, title="m", ranges=ranges, setting=f"At Δ = {delta:g}")


last = {name: values[-1] for name, values in curves[0.0]["pull"].items()}
assert last["square"] < 0 and last["hinge"] == 0 and 0 < last["logistic"] < 1e-3 and 0 < last["exponential"] < 1e-3
places = Stops("m", list(range(0, 57, 4)), start=16, text=lambda at: f"{m[at]:g}")
slider(choice, Stops("Δ", list(curves)), places)

# %% [markdown]
# **Displacement.** In a table the winner's probability rises. Where answers share parameters it can fall: a step along
# $\phi_w - \phi_l$ raises the winner's logit by $1 - \rho$ ($\rho$: how alike winner and loser are) and a *third* answer's by its
# overlap $a$ with that direction. If $a > 1 - \rho$ the third answer takes all.

# %%
steps, alike = [0.25 * k for k in range(41)], 0.8


def displaced(overlap):
    push = torch.tensor([1 - alike, alike - 1, overlap], dtype=torch.float64)
    return (torch.tensor(steps, dtype=torch.float64)[:, None] * push).softmax(-1)  # from 1/3 each


def displacement(overlap, at):
    shares = dict(zip(("winner", "loser", "third"), displaced(overlap).T.tolist(), strict=True))
    panels, ranges = {"probability": shares}, {"probability": (0, 1)}
    return lines(steps, panels, at=at, title="step", ranges=ranges, setting=f"Overlap {overlap:g}")


assert displaced(0.0)[-1, 0] > 0.5 and displaced(0.5)[-1, 0] < 1 / 3 < displaced(0.5)[-1, 2]
places = Stops("step", list(range(0, 41, 4)), start=20, text=lambda at: f"{steps[at]:g}")
slider(displacement, Stops("overlap a", [0, 0.1, 0.2, 0.3, 0.5], start=0.5), places)

# %% [markdown]
# ## 8 The size of Δ, once more
#
# - **Δ alone stalls.** On a mixed pair the margin without $T$ pushes with $p - \sigma(m - \Delta)$, which is 0 at
#   $m = \Delta + \mathrm{logit}\,p$. With $T$ it is $\sigma(\Delta - m)$, never 0. A row with an unsafe winner even pushes
#   the wrong way, with $\sigma(-\Delta)$: nearly ignored, where $T$ would turn it into a full push $\sigma(\Delta)$.
# - **Δ = −1** ends at $\pi^\ast$ as well, only later. **Δ = 50** ends there too, but after 200 steps it is five times as far.
# - **Wrong bits.** After $T$ the share of mixed pairs in the wrong order is below the error rate ε exactly if $p > ε$.

# %%
for claim in (
    "margin-only-stalls",
    "weight-margin-only",
    "negative-delta",
    "large-delta",
    "noise-wrong-order",
    "same-optimum-descent",
):
    row = ledger_row(claim)
    print(f"{row.residual:.0e}  {row.statement}")
    assert row.holds

# %% [markdown]
# The lines of the ledger that no other notebook calls: the ends of β, of the safe support, and of noise.

# %%
assert all(
    ledger_row(claim).holds for claim in ("optimum-extremes", "penalty-for-tv", "beta-to-zero", "beta-to-infinity")
)
assert all(ledger_row(f"noise-{what}").holds for what in ("large-margin", "descent", "law", "law-sampled"))

# %% [markdown]
# ## 9 Take a premise away
#
# Each theorem of the course has premises. Here you remove one, and the kit *searches* the smallest world in which the
# theorem then fails. Candidates come in order of size, all with rewards 0, 1 and 2 first and random ones after; with the
# premise back, every candidate must agree to $10^{-9}$.
#
# **Predict.** Prop. 4.4 says that every Δ has the same optimum. Which premise can go *without* a counterexample?

# %%
predict("premise_not_needed")

# %%
from safedpo.finite.walker import PREMISES, search

for name, premise in PREMISES["Prop. 4.4"].items():
    if FAST and name not in ("right bits", "the swap"):
        continue
    walk = search(premise, seed=0)
    print(f"- without “{name}” ({premise.without}): {walk.sentence}")
    assert walk.control <= 1e-9 and (walk.world is None) == (name in ("Δ ≥ 0", "on-policy pairs"))

# %% [markdown]
# The stored results of all four statements, one slider each. Bars on the left are the world that was found (hatched:
# unsafe), bars on the right the two sides of the statement.

# %%
from safedpo.show.pages.walker import walker

found = walker()
found["Prop. 4.2"]

# %%
found["Prop. 4.3"]

# %%
found["Prop. 4.4"]

# %%
found["C-DPO, strong duality"]

# %% [markdown]
# Three premises of Props 4.3 and 4.4 have no counterexample in the searched class: $\Delta \ge 0$, and pairs from the
# reference (twice). None was *found*; that is not a proof. For $\Delta \ge 0$ and a table there is one: mixed pairs lose
# their influence as the unsafe mass goes to 0, whatever finite $\Delta$ is.
#
# ## Recap
#
# $$
# \begin{aligned}
# \text{mean over prompts} \;\supset\; \text{each prompt} \;\supset\; \text{each answer} & \\
# \text{C-DPO, MoCAN, PeCAN, CS-RLHF} \;&:\; \pi_{\mathrm{ref}}\, e^{(r - \lambda^\ast c)/\beta} \\
# \text{RePO} \;&:\; \pi_{\mathrm{ref}}\, e^{(r - \lambda_x c)/\beta} \\
# \text{SafeDPO, Cat-DPO, BSO with the logistic generator} \;&:\; \pi^\ast \\
# \text{APO} = \text{Stable PO at } \gamma = a\beta \;&:\; L_{\text{DPO}} + \gamma\, L_{\text{SFT}} \text{ least}
# \end{aligned}
# $$
#
# **What we have not shown.** That any of this holds for a language model. The published rules of B-DPO, Cat-DPO and Stable PO:
# they could not be read, and what stands in for them is marked as ours. A statement without a counterexample in a small
# class may still have one in a larger class.

# %%
progress("10")

# %% [markdown]
# **References.** RePO: arXiv 2410.19933. CAN (MoCAN, PeCAN): 2405.19544. CS-RLHF: 2510.03520. HC-RLHF: 2506.08266. BSO:
# 2605.12339. Cat-DPO: 2604.17299. APO: 2311.08045. Stable PO: 2507.07723. B-DPO: 2603.22829. C-DPO: 2403.02475. SafeDPO:
# 2505.20065.
