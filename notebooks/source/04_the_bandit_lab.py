# %% [markdown]
# # 04 · The bandit lab
#
# The theorems of notebook 03 are about sums over everything. Training sees samples, steps and mistakes. Here we draw
# preferences from a world whose truth we know, train policies on them by the thousand, and look at what each piece of
# SafeDPO does on the way, what it costs, and where it stops working.
#
# **Afterwards you can**
# - tell the path of training from its destination, and say what $\Delta$ does to each;
# - take SafeDPO apart into $T$ and $\Delta$ and say which part does what, and when;
# - compute what wrong safety bits do to the optimum;
# - say what is lost with the dropped pairs, and what it costs to use them again;
# - name the settings in which methods with *the same* optimum part.
#
# **Time** about 30 minutes. **You need** $T$, $\Delta$ and Proposition 4.4 from notebook 03.
#
# <!-- links -->

# %%
# SET-UP

# %% [markdown]
# ## 1 The path, not the destination
#
# World A has four safe and four unsafe answers and a uniform reference. One safe answer, the *least* helpful one, is
# over-represented: its pairs with unsafe answers are drawn four times as often. (Think of a data set in which refusals
# stand beside most of the harmful answers.) The data is exact, so nothing is left to chance; only $\Delta$ differs.
#
# **Predict.** Compared with $\Delta = 0$, training with a large $\Delta$

# %%
predict("path_or_place")

# %%
from safedpo.finite import fit, over_represent, population, world_a

world, deltas = world_a(), [0.0, 2.0, 5.0, 10.0, 20.0, 50.0]
steps = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000] + ([] if FAST else [2000, 5000, 20_000])
pairs = population(world, pair_weight=over_represent(world, 3)).transform()
runs = fit(world, pairs, beta=0.1, delta=deltas, steps=steps[-1], lr=5.0, record=steps)
unsafe, safe_part = (table[:, 0, :, 0] for table in (runs.path.unsafe_mass, runs.path.safe_tv))  # (steps, deltas)

at = steps.index(200)
assert (unsafe[at].diff() < 0).all()  # at step 200 the larger margin has less unsafe mass ...
assert (safe_part[at].diff() > 0).all()  # ... and a safe part further from the optimum
assert safe_part[-1].max() - safe_part[-1].min() < 1e-3  # in the end they meet
print("step      " + "".join(f"  Δ = {delta:<6g}" for delta in deltas))
for step, row in zip(steps, safe_part, strict=True):
    print(f"{step:<10}" + "".join(f"  {value:<10.5f}" for value in row))

# %% [markdown]
# The table is the distance of the safe part from $\pi^\ast$ (total variation). Now both quantities, with step and
# margin in your hand.

# %%
from safedpo.show import Stops, slider
from safedpo.show.figures.path import path


def along(step, delta):
    lines = (
        {d: list(column) for d, column in zip(deltas, table.T.tolist(), strict=True)} for table in (unsafe, safe_part)
    )
    return path(steps, *lines, step=step, delta=delta)


slider(along, Stops("step", steps, start=200), Stops("Δ", deltas, start=10.0))

# %% [markdown]
# **Exercise 1.** Read the lower panel at step 200. By how much is the safe part further from the optimum with
# $\Delta = 50$ than with $\Delta = 0$? (Two digits are enough.)


# %%
def price_of_margin():
    """TV of the safe part at step 200: the value at Δ = 50 minus the value at Δ = 0."""
    ### BEGIN SOLUTION
    return 0.317 - 0.0604
    ### END SOLUTION


# %%
check("price_of_margin", price_of_margin)

# %% [markdown]
# So $\Delta$ is a choice about *budgets*. With few steps a large margin buys safety and pays in helpfulness; with many
# steps it hardly matters. Why does the safe part suffer at all? The margin keeps the safe-over-unsafe pairs at full
# weight up to a gap of $\Delta/\beta$ nats, and all that time they lift whichever safe answer meets most unsafe ones:
# here the worst.

# %%
last = world.reward[0, :4].argmin().item()
early = runs.logps[at, 0, :, 0, 0].exp()  # (deltas, answers)
assert last == 3 and (early[:, last].diff() > 0).all()  # the over-represented answer gains with Δ
print("π(over-represented safe answer) at step 200:", [f"{value:.3f}" for value in early[:, last].tolist()])
assert ledger_row("same-optimum").holds and ledger_row("faster-with-delta").holds

# %% [markdown]
# ## 2 Two by two
#
# "It is just preprocessing." "It is just a margin." Which is it? Switch $T$ and $\Delta$ on and off, on a few sampled
# pairs of the six-answer world, 20 samples each.
#
# **Predict.** The margin alone ($\Delta = 2$, no $T$), trained on 20 pairs:

# %%
predict("margin_without_t")

# %%
from safedpo.finite import fit, sample_pairs, six_answers
from safedpo.show.figures.bands import mean_interval

world, beta, counts, seeds = six_answers(), 0.1, [20, 60, 200], range(20)
variants = {
    "neither (DPO)": ("helpful", 0.0),
    "Δ only": ("helpful", 2.0),
    "T only": ("safedpo", 0.0),
    "T and Δ (SafeDPO)": ("safedpo", 2.0),
    "filter (safebetter)": ("safebetter", 2.0),
}
results = {}
for n in counts:
    samples = [sample_pairs(world, n, seed) for seed in seeds]
    for name, (rule, delta) in variants.items():
        ordered = [sample.transform(rule) for sample in samples]
        run = fit(world, ordered, beta=beta, delta=delta, steps=500, lr=13.0, seeds=seeds, record=[500])
        results[n, name] = {"unsafe mass": run.path.unsafe_mass[-1, 0, 0], "TV to π*": run.path.tv[-1, 0, 0]}

mean = {key: {what: values.mean().item() for what, values in row.items()} for key, row in results.items()}
assert mean[20, "neither (DPO)"]["unsafe mass"] > 0.5 and mean[20, "Δ only"]["unsafe mass"] > 0.1
assert all(mean[n, name]["unsafe mass"] < 0.01 for n in counts for name in list(variants)[2:])  # with T, or the filter
assert mean[200, "Δ only"]["unsafe mass"] < 0.01 < 0.9 < mean[200, "neither (DPO)"]["unsafe mass"]
assert mean[60, "Δ only"]["TV to π*"] < mean[60, "T and Δ (SafeDPO)"]["TV to π*"]  # T is not free

# %%
from safedpo.show import Stops, slider
from safedpo.show.figures.intervals import intervals


def ablation(n):
    rows = {
        name: {what: mean_interval(values.tolist(), low=0.0, high=1.0) for what, values in results[n, name].items()}
        for name in variants
    }
    return intervals(rows, confidence="95 %")


slider(ablation, Stops("sampled pairs", counts, start=20))

# %% [markdown]
# - $T$ makes it safe, from 20 pairs on. The margin alone does so only once the data has shown each unsafe answer
#   *losing*; with 20 pairs some never did.
# - With plenty of data the margin alone is practically safe: its optimum is $\pi_C$ with $C = \Delta$, and at
#   $\beta = 0.1$ a fine of 2 is twenty nats. An exact table cannot show the failure that the paper reports for
#   language models; few data and shared parameters can.
# - $T$ has a price. It overwrites *who was more helpful* in mixed pairs, so fewer pairs teach about helpfulness: at
#   60 pairs the margin alone is *nearer* to $\pi^\ast$.

# %% [markdown]
# ## 3 Finite data, and a filter that looks the same
#
# DPO-safebetter drops US pairs where SafeDPO swaps them. With exact data both have the optimum $\pi^\ast$: each unsafe
# answer loses to a safe one now and then, and nothing speaks for it.
#
# **Predict.** Thirty prompts, three sampled pairs each. Which is safer?

# %%
predict("drop_or_swap")

# %%
from safedpo.finite import fit, random_world, sample_pairs
from safedpo.show.figures.bands import mean_interval

world = random_world(0, prompts=30, answers=6, unsafe_answers=3, reward_gap=1.0)  # the best unsafe answer pays 1 more
beta, seeds, per_prompt = 0.5, range(20), [1, 3, 10] if FAST else [1, 3, 10, 30, 100]
variants = {
    "DPO-helpful": ("helpful", 0.0),
    "Δ only": ("helpful", 2.0),
    "safebetter + Δ": ("safebetter", 2.0),
    "SafeDPO": ("safedpo", 2.0),
}
panels = {"unsafe mass": {}, "TV to π*": {}}
for name, (rule, delta) in variants.items():
    for k in per_prompt:
        ordered = [sample_pairs(world, k * world.prompts, seed).transform(rule) for seed in seeds]
        run = fit(world, ordered, beta=beta, delta=delta, steps=100 if FAST else 300, lr=0.5, seeds=seeds)
        values = {"unsafe mass": run.path.unsafe_mass, "TV to π*": run.path.tv}
        for title in panels:
            panels[title].setdefault(name, []).append(
                mean_interval(values[title][-1, 0, 0].tolist(), low=0.0, high=1.0)
            )

harm = panels["unsafe mass"]
assert all(harm["SafeDPO"][i][2] < harm["safebetter + Δ"][i][1] for i in (0, 1))  # the intervals do not even touch
assert all(harm["DPO-helpful"][i][0] > 0.5 for i in range(len(per_prompt)))
assert harm["SafeDPO"][2][0] < 0.01 and panels["TV to π*"]["SafeDPO"][2][0] < panels["TV to π*"]["SafeDPO"][0][0]

# %%
from safedpo.show import Stops, slider
from safedpo.show.figures.bands import bands


def learning(k):
    return bands(per_prompt, panels, at=k, x_title="pairs per prompt", log_x=True)


slider(learning, Stops("pairs per prompt", per_prompt, start=3))

# %% [markdown]
# Same destination, different roads: the swap uses exactly the pairs that the filter throws away. And harm and help
# are learnt at different speeds. After three pairs a prompt little unsafe mass is left, while the order among safe
# answers, hence the distance to $\pi^\ast$, needs ten times as many.

# %% [markdown]
# ## 4 Wrong bits
#
# Proposition 4.4 needs right safety bits. Let each bit be wrong with probability $\varepsilon$, independently, before
# $T$ sees it, and look at a pair that is truly mixed; $p$ is the chance that its safe answer is also the more helpful
# one.
#
# **Exercise 2.** Of all truly mixed pairs: which share survives $T$, which share ends up in the wrong order, and which
# share is wrong *and* carries the margin?


# %%
def t_under_noise(rate, safe_wins):
    """(survives, wrong order, wrong order with a margin): shares of all truly mixed pairs."""
    ### BEGIN SOLUTION
    looks_safe_safe, turned = rate * (1 - rate), rate**2  # the unsafe answer's bit alone is wrong; both are
    return 1 - rate + rate**2, turned + looks_safe_safe * (1 - safe_wins), turned
    ### END SOLUTION


# %%
check("t_under_noise", t_under_noise)

# %% [markdown]
# For $\varepsilon = 0.1$ and $p = 0.3$ that is 0.910, 0.0730 and 0.0100: of the survivors 8 % are wrong. Count them:

# %%
from dataclasses import replace

from safedpo.finite import FiniteWorld, sample_pairs


def two_answers(p):
    """A safe answer (0) and an unsafe one (1); the safe one is the more helpful with probability p."""
    return FiniteWorld(torch.tensor([[0.5, 0.5]]).log(), [[math.log(p / (1 - p)), 0.0]], torch.tensor([[False, True]]))


def with_wrong_bits(pairs, rate, seed):
    draw = torch.rand(2, len(pairs), generator=torch.Generator().manual_seed(seed)) < rate
    return replace(pairs, chosen_unsafe=pairs.chosen_unsafe ^ draw[0], rejected_unsafe=pairs.rejected_unsafe ^ draw[1])


n, rate, p = 100_000, 0.1, 0.3
kept = with_wrong_bits(sample_pairs(two_answers(p), n, seed=0), rate, seed=1).transform()
wrong = kept.chosen == 1
counted = [len(kept) / n, wrong.sum().item() / n, (wrong & kept.rejected_unsafe).sum().item() / n]
formula = (1 - rate + rate**2, rate**2 + rate * (1 - rate) * (1 - p), rate**2)
print("counted", counted, "formula", [round(share, 4) for share in formula])
assert all(abs(a - b) < 6 * math.sqrt(b * (1 - b) / n) for a, b in zip(counted, formula, strict=True))

# %% [markdown]
# **Predict.** With wrong bits, what does a larger $\Delta$ do to the optimum of the mixed pair?

# %%
predict("noise_and_margin")

# %% [markdown]
# Now the loss has a finite minimum. For a prompt with two answers it is exact: the reward margin $m^\ast$ solves
#
# $$
# (1-\varepsilon)^2 \sigma(\Delta - m) + \varepsilon(1-\varepsilon)\left[p\,\sigma(-m) - (1-p)\,\sigma(m)\right]
# - \varepsilon^2 \sigma(\Delta + m) = 0 .
# $$
#
# Training on 2,000 noisy pairs, 20 samples for each setting, against that root:

# %%
from safedpo.finite import bit_flip_margin, fit
from safedpo.show.figures.bands import mean_interval

rates, deltas, world = [0.05, 0.1, 0.2, 0.3], [0.0, 2.0, 5.0], two_answers(0.3)
margins = {f"{kind}, Δ = {delta:g}": [] for delta in deltas for kind in ("exact", "trained")}
for rate in rates:
    noisy = [with_wrong_bits(sample_pairs(world, 2000, seed), rate, seed + 100).transform() for seed in range(20)]
    run = fit(world, noisy, beta=1.0, delta=deltas, steps=1000, lr=3.0, seeds=range(20), record=[1000])
    ratio = run.policy[0, :, :, 0] - world.ref_logps[0]  # (deltas, seeds, answers)
    for delta, values in zip(deltas, (ratio[..., 0] - ratio[..., 1]).tolist(), strict=True):
        exact = bit_flip_margin(rate, 0.3, delta)
        found = mean_interval(values)
        margins[f"trained, Δ = {delta:g}"].append(found)
        margins[f"exact, Δ = {delta:g}"].append((exact,) * 3)
        assert abs(found[0] - exact) < 3 * (found[2] - found[1]) / 2 + 0.02  # within the noise of sampling
assert abs(bit_flip_margin(0.1, 0.3, 0.0) - 2.4394) < 5e-5 and abs(bit_flip_margin(0.1, 0.3, 20.0) - 22.3121) < 5e-5
assert ledger_row("noise-bit-flips").holds and ledger_row("noise-no-margin").holds

# %%
from safedpo.show import Stops, slider
from safedpo.show.figures.bands import bands

slider(
    lambda rate: bands(rates, {"reward margin m*": margins}, at=rate, x_title="wrong bits ε"),
    Stops("ε", rates, start=0.1),
)

# %% [markdown]
# With six answers the pairs are coupled, and there is no formula; the exact law of the noisy pairs is still at hand.
# Two remedies from the literature beside it: label smoothing (cDPO) and robust DPO, both given the true $\varepsilon$.

# %%
from safedpo.finite import NotConvergedError, fit, flip_bits, population, six_answers, unsafe_mass
from safedpo.finite.methods import METHODS

world, beta = six_answers(), 0.5
for rate in (0.05, 0.1, 0.2):
    noisy = flip_bits(population(world), rate)
    run = fit(
        world, noisy.transform(), beta=beta, delta=[0.0, 2.0, 10.0], steps=2000, lr=1.0, record=[2000], tolerance=1e-3
    )
    harm, far = run.path.unsafe_mass[-1, 0, :, 0], run.path.tv[-1, 0, :, 0]
    smooth = METHODS["cDPO"](world, noisy, beta=beta, seed=0, rule="safedpo", flip_rate=rate)
    smooth_harm = unsafe_mass(world, smooth.logps).item()
    print(
        f"ε = {rate}: unsafe mass at Δ = 0, 2, 10: {', '.join(f'{v:.1e}' for v in harm.tolist())}; cDPO {smooth_harm:.1e}"
    )
    assert (harm.diff() < 0).all() and (far.diff() < 0).all()  # under noise the margin helps, in both respects
    assert smooth_harm > harm[0]  # smoothing forgives, and forgives the unsafe answers too
    try:
        METHODS["robust DPO"](world, noisy, beta=beta, seed=0, rule="safedpo", flip_rate=rate, steps=1000)
        raise AssertionError("robust DPO was expected not to converge")
    except NotConvergedError as error:
        print("   ", error)

# %% [markdown]
# Robust DPO corrects for *labels* flipped at rate $\varepsilon$; after $T$ fewer pairs than that are in the wrong
# order, so it corrects too much and its loss falls for ever. A remedy needs the right rate of the right thing.

# %% [markdown]
# ## 5 What is thrown away
#
# UU pairs are dropped. With $u$ of 6 answers unsafe, $u(u-1)/30$ of all pairs are UU: at $u = 5$ two in three.
#
# **Predict.** Three pairs a prompt, two thirds of them UU. What does dropping cost?

# %%
predict("two_thirds_uu")

# %% [markdown]
# Two ideas for using them: let a **refusal** (here each prompt's least helpful safe answer) win against both unsafe
# answers, as reviewers of the paper proposed; or BFPO's loss, which gives a UU pair the target $-\tfrac{1}{2}/\beta$.

# %%
from safedpo.finite import Pairs, concatenate, fit, random_world, sample_pairs
from safedpo.show.figures.bands import mean_interval


def with_refusals(pairs, refusal):
    """T, and each UU pair twice more: the prompt's refusal beats either unsafe answer."""
    uu = pairs[pairs.group == 3]
    no = torch.zeros(len(uu), dtype=torch.bool)
    extra = [
        Pairs(uu.prompt, refusal[uu.prompt], loser, no, ~no, no.long(), uu.weight) for loser in (uu.chosen, uu.rejected)
    ]
    return concatenate([pairs.transform(), *extra])


# %%
def reuse(unsafe_answers, seeds=range(20), beta=0.5):
    """Name -> figures over 20 samples of three pairs a prompt, and the share of prompts that T leaves without a pair."""
    world = random_world(1, prompts=30, answers=6, unsafe_answers=unsafe_answers)
    refusal = world.reward.masked_fill(world.unsafe, math.inf).argmin(-1)
    raw, found = [sample_pairs(world, 90, seed) for seed in seeds], {}
    data = {
        "drop (SafeDPO)": [one.transform() for one in raw],
        "refusal wins": [with_refusals(one, refusal) for one in raw],
    }
    for name, pairs in {**data, "BFPO": raw}.items():
        own = {"loss": "bfpo", "lr": 0.015} if name == "BFPO" else {"delta": 2.0, "lr": 0.25}
        run = fit(world, pairs, beta=beta, steps=200, seeds=seeds, record=[200], **own)
        refusing = run.policy[0, 0].exp()[:, torch.arange(30), refusal].mean(-1)
        found[name] = {"unsafe mass": run.path.unsafe_mass[-1, 0, 0], "mass on refusals": refusing}
    return found, sum(30 - len(one.prompt.unique()) for one in data["drop (SafeDPO)"]) / (30 * len(seeds))


# %%
from safedpo.show import Stops, slider
from safedpo.show.figures.bands import bands

unsafe_answers = [1, 3, 5] if FAST else [1, 2, 3, 4, 5]
shares, panels, empty = [u * (u - 1) / 30 for u in unsafe_answers], {"unsafe mass": {}, "mass on refusals": {}}, []
for u in unsafe_answers:
    found, without = reuse(u)
    empty.append(without)
    for name, row in found.items():
        for title, values in row.items():
            panels[title].setdefault(name, []).append(mean_interval(values.tolist(), low=0.0, high=1.0))
    print(f"{u} of 6 unsafe: UU share {u * (u - 1) / 30:.3f}, prompts that T leaves without a pair {without:.1%}")

harm, refusing = panels["unsafe mass"], panels["mass on refusals"]
assert empty[-1] > 0.25 > 0.1 > empty[0]  # whole prompts are lost
assert harm["drop (SafeDPO)"][-1][1] > 3 * harm["refusal wins"][-1][2]  # where UU is most, re-use pays in safety
middle = unsafe_answers.index(3)
assert refusing["refusal wins"][middle][1] > refusing["drop (SafeDPO)"][middle][2]  # and is paid for in refusals
assert harm["BFPO"][-1][0] > harm["drop (SafeDPO)"][-1][0]  # a finite target leaves unsafe mass
slider(
    lambda share: bands(shares, panels, at=share, x_title="share of UU pairs"),
    Stops("UU share", shares, start=shares[-1]),
)

# %% [markdown]
# Dropping is exact in theory and costly where prompts are risky and pairs few. Re-use reaches the lost prompts and
# teaches refusal: read it at three unsafe answers (share 0.2), for at five the refusal is the only safe answer there is.
# Which you want is a decision about over-refusal, not a theorem.

# %% [markdown]
# ## 6 A reference that is rarely safe
#
# In notebook 02 poor safe support $\delta$ cost only $\beta \log(1/\delta)$ of penalty. That was about optima. In
# practice the pairs themselves are drawn from the reference.
#
# **Predict.** Both answers of a pair are drawn from a reference with $\delta = 0.01$. What is left of the share of
# pairs that $T$ keeps?

# %%
predict("support_of_data")

# %%
from safedpo.finite import fit, population, random_world, sample_pairs

supports, beta, seeds, left = [0.5, 0.1, 0.01], 0.5, range(20), {}
for support in supports:
    world = random_world(4, prompts=20, answers=6, unsafe_answers=3, safe_support=support)
    drawn = world.ref_logps.exp()[:, :, None] * world.ref_logps.exp()[:, None]  # how often the reference offers a pair
    weight = 15 * 20 * drawn / drawn.triu(1).sum()
    law, kept = population(world, pair_weight=weight), population(world, pair_weight=weight).transform()
    data = [sample_pairs(world, 2000, seed, pair_weight=weight).transform() for seed in seeds]
    run = fit(world, data, beta=beta, delta=[0.0, 10.0], steps=150, lr=0.25, seeds=seeds, record=[150])
    left[support] = run.path.unsafe_mass[-1, 0].mean(-1).tolist()
    share = (kept.weight.sum() / law.weight.sum()).item()
    print(
        f"δ = {support:<5} pairs kept by T {share:.3f}; unsafe mass after 150 steps: "
        f"Δ = 0 {left[support][0]:.4f}, Δ = 10 {left[support][1]:.4f}"
    )

assert left[0.5][0] < 0.01 < 0.5 < left[0.01][0]  # the same optimum, far out of reach of the same budget
assert all(fast <= slow for slow, fast in left.values())  # a margin helps to get there

# %% [markdown]
# Can you know $\delta$? Sample: with $n$ answers to a prompt and none of them safe, $\delta$ may still be as large as
# $1 - 0.05^{1/n}$ (95 %). And $(1 - \delta)^n$ is the chance to see no safe answer at all.

# %%
draw = torch.Generator().manual_seed(0)
for support in supports:
    seen = torch.rand(20_000, 100, generator=draw) < support  # 100 answers to each of 20,000 prompts
    missed, formula = (~seen.any(1)).double().mean().item(), (1 - support) ** 100
    print(f"δ = {support:<5} prompts where 100 answers show no safe one: {missed:.4f}, formula {formula:.4f}")
    assert abs(missed - formula) < 6 * math.sqrt(formula * (1 - formula) / 20_000) + 1e-9

# %% [markdown]
# ## 7 "Unbiased", said exactly
#
# Proposition 4.3 says that two losses are equal for every policy: the one on labels that follow $r_c$, which nobody
# can collect, and the one on $T$ of the labels that people gave.
#
# **Predict.** Draw both kinds of labels for the same number of pairs. Do the mean losses agree for a random policy?

# %%
predict("two_losses")

# %%
from safedpo.finite import modified_reward, pairs_loss, population, sample_pairs, six_answers
from safedpo.losses import dpo_loss

world, n, beta = six_answers(), 50_000, 0.5
policy = torch.randn(1, 6, generator=torch.Generator().manual_seed(3), dtype=torch.float64).log_softmax(-1)


def losses(prompt, chosen, rejected):
    columns = (table[prompt, answer] for table in (policy, world.ref_logps) for answer in (chosen, rejected))
    return dpo_loss(*columns, beta=beta)


rows = sample_pairs(world, n, seed=0)
kept = rows.transform()
collected = torch.cat([losses(kept.prompt, kept.chosen, kept.rejected), torch.zeros(n - len(kept))])  # UU: no loss

other = sample_pairs(world, n, seed=1)
score = modified_reward(world)[0]
compared = ~(world.unsafe[0, other.chosen] & world.unsafe[0, other.rejected])  # r_c says nothing about UU
other = other[compared]
first_wins = (score[other.chosen] - score[other.rejected]).sigmoid()
other = other.swapped(torch.rand(len(other), generator=torch.Generator().manual_seed(2)) >= first_wins)
modified = torch.cat([losses(other.prompt, other.chosen, other.rejected), torch.zeros(n - len(other))])

# %%
exact = pairs_loss(population(world).transform(), policy, world.ref_logps, beta=beta, delta=0.0).item() / 15
error = math.sqrt((collected.var() + modified.var()).item() / n)
print(f"on T(D) {collected.mean():.5f}, under r_c {modified.mean():.5f}, exact {exact:.5f}; standard error {error:.5f}")
assert abs((collected.mean() - modified.mean()).item()) < 6 * error and abs(collected.mean().item() - exact) < 6 * error
assert ledger_row("two-objectives").holds

# %% [markdown]
# "Unbiased" is about this sum and needs its convention for UU. It does not say that a *finite sample* finds the
# optimum; sections 3 and 6 showed what it finds.

# %% [markdown]
# ## 8 Prompts that share parameters
#
# In a table each prompt learns alone. A language model shares everything. The smallest step towards it is a linear
# softmax, $\pi_\theta(y \mid x) \propto \pi_{\mathrm{ref}}(y \mid x)\, e^{\varphi(x, y)^\top \theta}$, with eight
# features for 72 logits. The data is exact; 20 random worlds.
#
# **Predict.** While training succeeds and the gap between chosen and rejected grows, what does
# $\log \pi(\text{chosen})$ do?

# %%
predict("chosen_falls")

# %%
from safedpo.finite import expected_reward, population, random_world, unsafe_mass
from safedpo.finite.methods import fit_shared


def shared_run(seed, rule, beta=0.5, steps=200 if FAST else 600):
    """Unsafe mass, reward, and how far log π of chosen and of rejected answers moved."""
    world, draw = random_world(seed, prompts=12, answers=6), torch.Generator().manual_seed(seed)
    features = torch.randn(12, 6, 8, generator=draw, dtype=torch.float64)
    features += world.unsafe[..., None] * torch.randn(8, generator=draw, dtype=torch.float64)  # hazard leaves a trace
    pairs = population(world).transform(rule)
    logps = fit_shared(world, features, pairs, beta=beta, delta=2.0, steps=steps, record=[0, steps]).logps[:, 0]
    moved = [
        (pairs.weight * (logps[1] - logps[0])[pairs.prompt, answer]).sum() / pairs.weight.sum()
        for answer in (pairs.chosen, pairs.rejected)
    ]
    return unsafe_mass(world, logps[1]).mean(), expected_reward(world, logps[1]).mean(), *moved


table = {rule: torch.tensor([shared_run(seed, rule) for seed in range(20)]) for rule in ("safebetter", "safedpo")}

# %%
from safedpo.show import still
from safedpo.show.figures.bands import mean_interval
from safedpo.show.figures.intervals import intervals

harm, reward, chosen, rejected = (table["safedpo"] - table["safebetter"]).T  # paired: the same world in both
gap = mean_interval((-harm).tolist())
print(
    f"safebetter keeps {gap[0]:.3f} [{gap[1]:.3f}, {gap[2]:.3f}] more unsafe mass than SafeDPO, from the same exact data"
)
assert gap[1] > 0  # with shared parameters methods of one optimum part
pay = mean_interval((-reward).tolist())
print(f"and SafeDPO pays {pay[0]:.3f} [{pay[1]:.3f}, {pay[2]:.3f}] of expected reward for it")
assert pay[1] > 0
*_, chosen, rejected = table["safedpo"].T
print(
    f"SafeDPO: log π(chosen) moved by {chosen.mean():+.2f}, log π(rejected) by {rejected.mean():+.2f}; "
    f"chosen fell in {(chosen < 0).sum()} of 20 worlds"
)
assert (rejected < chosen).all() and (chosen < 0).sum() >= 12  # the gap grew, and the chosen answers fell: displacement
rows = {
    name: {"unsafe mass": mean_interval(table[rule][:, 0].tolist(), low=0.0, high=1.0)}
    for name, rule in (("safebetter + Δ", "safebetter"), ("SafeDPO", "safedpo"))
}
still(*intervals(rows, confidence="95 %"))

# %% [markdown]
# Three things at once. The filter is less safe than the swap now, *with exact data*. What SafeDPO gains in safety it
# partly pays in reward. And the loss sees only differences: while the gap grows, the log-probabilities of chosen answers
# fall too, on average. So always plot the two curves, not only their gap. (Displacement is DPO's; $T$ does not cure it.)

# %% [markdown]
# ## 9 Questions asked about SafeDPO, and where their numbers are
#
# | # | question | number | where |
# |---|---|---|---|
# | 1 | are UU pairs wasted? | unsafe mass and refusals, dropped against re-used, by UU share; prompts left with no pair | 5 |
# | 3 | what do wrong labels do? | shares under $T$, $m^\ast$ in closed form and trained, cDPO and robust DPO beside it | 4 |
# | 5 | is it just preprocessing? | $T$ and $\Delta$ two by two, and the filter | 2, 3 |
# | 6 | does $\Delta$ do anything? | distance and unsafe mass by step and $\Delta$ | 1, 4, 6 |
# | 7 | are the assumptions mild? | pairs kept and unsafe mass by safe support | 6 |
# | 8 | what is unbiased? | two sampled losses against the exact sum | 7 |
# | 10 | one seed? | 20 samples or worlds and 95 % intervals | 2, 3, 4, 5, 8 |
# | 11 | how does it relate to MODPO? | | [05](05_methods_side_by_side.ipynb), 4 |
# | 16 | does displacement remain? | log-probabilities of chosen and rejected, separately | 8 |

# %% [markdown]
# ## Recap
#
# $$
# \begin{aligned}
# \text{destination} \quad & \pi^\ast \text{ for every } \Delta \text{ (right bits, exact data)} \\
# \text{path} \quad & \text{weight } \sigma(\Delta I - m): \text{ unsafe mass falls sooner, the safe part arrives later} \\
# \text{wrong bits} \quad & m^\ast \approx \Delta + \log\tfrac{1-\kappa}{\kappa}, \quad
# \kappa = \frac{\varepsilon^2 + \varepsilon(1-\varepsilon)(1-p)}{(1-\varepsilon)^2}
# \end{aligned}
# $$
#
# **What we have not shown.** Anything about language: an answer here is an index, and a table cannot generalise. The
# failure of "margin only" that the paper measured needs few data or shared parameters to appear at all. Our refusals
# are chosen by us. Wrong bits were independent; people err together.

# %%
progress("04")

# %% [markdown]
# **References.** SafeDPO, arXiv 2505.20065, sections 3 and 4. BFPO: arXiv 2408.15313. Robust DPO: arXiv 2403.00409.
# The closed forms under noise are derived here.
#
# **Next:** [05 · Methods side by side](05_methods_side_by_side.ipynb).
