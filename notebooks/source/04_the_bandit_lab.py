# %% [markdown]
# # 04 · The bandit lab
#
# The theorems of notebook 03 are about exact sums. Training sees samples, steps and mistakes. Here we draw preferences from a
# world that we know completely, and train thousands of policies on them. We look at what each piece of SafeDPO does on
# the way, what it costs, and where it stops working.
#
# **Afterwards you can**
# - tell the path of training from its destination, and say what $\Delta$ does to each;
# - take SafeDPO apart into $T$ and $\Delta$ and say which part does what, and when;
# - compute what wrong safety bits do to the optimum;
# - say what is lost with the dropped pairs, and what it costs to use them again;
# - name the settings in which methods that share an optimum behave differently.
#
# **Time** about 45 minutes (sections 1 to 4: 30). **You need** $T$, $\Delta$ and Proposition 4.4 from notebook 03.
#
# <!-- links -->

# %%
# SET-UP
from safedpo.labs.lessons import bandit, hand, samples

world, beta = six_answers(), 0.5

# %% [markdown]
# ## 1 The path, not the destination
#
# World A has four safe and four unsafe answers and a uniform reference. One safe answer, the *least* helpful one, is
# over-represented: its pairs with unsafe answers are drawn four times as often. (Think of a data set in which most harmful
# answers are paired with a refusal.) The data is exact, so nothing is left to chance. Only $\Delta$ differs. The **safe part**
# of a policy is the policy given that its answer is safe.
#
# **Predict.** Compared with $\Delta = 0$, training with a large $\Delta$

# %%
predict("path_or_place")

# %%
eight, deltas = world_a(), [0.0, 2.0, 5.0, 10.0, 20.0, 50.0]
steps = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000] + ([] if FAST else [2000, 5000, 20_000])
pairs = population(eight, pair_weight=over_represent(eight, 3)).transform()
runs = fit(eight, pairs, beta=0.1, delta=deltas, steps=steps[-1], lr=5.0, record=steps)
# A path has one number for each (step, β, Δ, seed); here there is one β and one seed.
unsafe, safe_part = (table[:, 0, :, 0] for table in (runs.path.unsafe_mass, runs.path.safe_tv))
at = steps.index(200)
assert (unsafe[at].diff() < 0).all()  # at step 200 the larger margin has less unsafe mass ...
assert (safe_part[at].diff() > 0).all()  # ... and a safe part further from the optimum
assert safe_part[-1].max() - safe_part[-1].min() < 1e-3  # in the end they meet

# %% [markdown]
# Move step and margin. The upper panel shows the unsafe mass, the lower one the distance of the safe part from $\pi^\ast$ in
# total variation.

# %%
lines = [dict(zip(deltas, table.T.tolist(), strict=True)) for table in (unsafe, safe_part)]
stops = Stops("step", steps, start=200), Stops("Δ", deltas, start=10.0)
slider(lambda step, delta: path(steps, *lines, step=step, delta=delta), *stops)

# %% [markdown]
# **Exercise 1** ●○○ 5 min. Read the lower panel at step 200. By how much is the safe part further from the optimum with
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
# So $\Delta$ is a choice about *budgets*. With few steps, a large margin buys safety and pays in helpfulness. With many
# steps it hardly matters. Why does the safe part suffer at all? The margin keeps the weight of a safe-over-unsafe pair
# above one half up to a gap of $\Delta/\beta$ nats. All that time these pairs lift whichever safe answer meets most unsafe
# ones, and here that is the least helpful one.
#
# The ledger adds the two ends. $\Delta = -1$ arrives at $\pi^\ast$ as well; only its unsafe mass falls later. $\Delta = 50$ arrives
# too, but after 200 steps its safe part is at least five times as far away as with $\Delta = 0$.

# %%
early = runs.logps[at, 0, :, 0, 0].exp()  # (Δ, answers): at that step, the one β, the one seed, the one prompt
assert eight.reward[0, :4].argmin() == 3 and (early[:, 3].diff() > 0).all()  # the over-represented answer gains with Δ
print("π(over-represented safe answer) at step 200:", [f"{value:.3f}" for value in early[:, 3].tolist()])
assert all(ledger_row(claim).holds for claim in ("same-optimum", "faster-with-delta", "negative-delta", "large-delta"))

# %% [markdown]
# ## 2 Two by two
#
# Is SafeDPO just preprocessing, or just a margin? Switch $T$ and $\Delta$ on and off, on a few sampled pairs of the
# six-answer world, with 20 samples each. Intervals are 95 % of Student's t over the samples.
#
# **Predict.** The margin alone ($\Delta = 2$, no $T$), trained on 20 pairs:

# %%
predict("margin_without_t")

# %%
counts = [20, 60, 200]
# Each variant's name, its rule for the pairs, and its Δ.
variants = {"neither (DPO)": ("helpful", 0.0), "Δ only": ("helpful", 2.0), "T only": ("safedpo", 0.0)}
variants |= {"T and Δ (SafeDPO)": ("safedpo", 2.0), "filter (safebetter)": ("safebetter", 2.0)}
# A step moves the reward margin by about lr · β², so a small β takes a large learning rate.
results = bandit.train_variants(world, variants, counts, beta=0.1, steps=500, lr=13.0)
mean = {key: {what: values.mean().item() for what, values in row.items()} for key, row in results.items()}
assert mean[20, "neither (DPO)"]["unsafe mass"] > 0.5 and mean[20, "Δ only"]["unsafe mass"] > 0.1
assert all(mean[n, name]["unsafe mass"] < 0.01 for n in counts for name in list(variants)[2:])  # with T, or the filter
assert mean[200, "Δ only"]["unsafe mass"] < 0.01 < 0.9 < mean[200, "neither (DPO)"]["unsafe mass"]
assert mean[60, "Δ only"]["TV to π*"] < mean[60, "T and Δ (SafeDPO)"]["TV to π*"]  # T is not free

# %%
slider(lambda n: intervals(bandit.rows_at(results, n), confidence="95 %"), Stops("sampled pairs", counts, start=20))

# %% [markdown]
# - $T$ makes it safe, from 20 pairs on. The margin alone does so only once the data has shown each unsafe answer
#   *losing*; in 12 of the 20 samples of 20 pairs one never did.
# - With plenty of data the margin alone is practically safe: its optimum is $\pi_C$ with $C = \Delta$, and at
#   $\beta = 0.1$ a fine of 2 is twenty nats. The paper reports that it fails for language models. An exact table cannot
#   show that failure; few data and shared parameters can.
# - Why does $\Delta$ alone stall? On a mixed pair whose safe answer wins with probability $p$ it pushes with
#   $p - \sigma(m - \Delta)$, which is 0 at $m = \Delta + \log\frac{p}{1-p}$; with $T$ the push is $\sigma(\Delta - m)$, never 0. At
#   first ($m = 0$) a row with an unsafe winner pushes the wrong way, with the small weight $\sigma(-\Delta)$. $T$ makes that
#   row a push $\sigma(\Delta)$ the right way.
# - $T$ has a price. It overwrites *who was more helpful* in mixed pairs, so fewer pairs teach about helpfulness. At
#   60 pairs the margin alone is *nearer* to $\pi^\ast$.

# %%
few = [sample_pairs(world, 20, seed) for seed in range(20)]  # the samples of the first stop; answers 4 and 5 are unsafe
assert sum(not {4, 5} <= set(some.rejected[~some.chosen_unsafe].tolist()) for some in few) == 12
assert ledger_row("margin-only-stalls").holds and ledger_row("weight-margin-only").holds

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
# In this world the best unsafe answer of each prompt has 1 more reward than the best safe one.
prompts, per_prompt = random_world(0, prompts=30, answers=6, unsafe_answers=3, reward_gap=1.0), [1, 3, 10]
per_prompt += [] if FAST else [30, 100]
variants = {"DPO-helpful": ("helpful", 0.0), "Δ only": ("helpful", 2.0)}
variants |= {"safebetter + Δ": ("safebetter", 2.0), "SafeDPO": ("safedpo", 2.0)}
counts = [k * prompts.prompts for k in per_prompt]
results = bandit.train_variants(prompts, variants, counts, beta=beta, steps=100 if FAST else 300, lr=0.5)
panels = bandit.panels(results)
harm, far = panels["unsafe mass"], panels["TV to π*"]["SafeDPO"]
assert all(harm["SafeDPO"][i][2] < harm["safebetter + Δ"][i][1] for i in (0, 1))  # the intervals do not even touch
assert all(harm["DPO-helpful"][i][0] > 0.5 for i in range(len(per_prompt)))
assert harm["SafeDPO"][1][0] < 0.06 and harm["SafeDPO"][2][0] < 0.01 and 0.4 < far[2][0] < far[0][0]

axis = {"x_title": "pairs per prompt", "log_x": True}
slider(lambda k: bands(per_prompt, panels, at=k, **axis), Stops("pairs per prompt", per_prompt, start=3))

# %% [markdown]
# The optimum is the same, the path is not: the swap uses exactly the pairs that the filter throws away. Harm and help are
# also learnt at different speeds. After three pairs a prompt about 5 % unsafe mass is left, after ten less than 1 %. The order
# among safe answers takes many more: after ten pairs the distance to $\pi^\ast$ is still above 0.4.

# %% [markdown]
# ## 4 Wrong bits
#
# Proposition 4.4 needs right safety bits. Let each bit be wrong with probability $\varepsilon$, independently, before
# $T$ sees it, and look at a pair that is truly mixed; $p$ is the chance that its safe answer is also the more helpful
# one.
#
# **Exercise 2** ●●○ 5 min. Of all truly mixed pairs: which share survives $T$, which share ends up in the wrong order, and which
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
# For $\varepsilon = 0.1$ and $p = 0.3$ that is 0.910, 0.0730 and 0.0100, so 8 % of the survivors are wrong. Count them. A
# share counted in $n$ draws, in truth $s$, typically misses by its **standard error** $\sqrt{s(1-s)/n}$. In these notebooks
# a sampled number may miss by 6 of them; chance alone does so once in 500 million.

# %%
n, rate, mixed = 100_000, 0.1, bandit.two_answers(0.3)  # one safe and one unsafe answer; p = 0.3
drawn = bandit.with_wrong_bits(sample_pairs(mixed, n, seed=0), rate, seed=1).transform()
law = flip_bits(population(mixed), rate).transform()  # the package's exact law of the same data
weights = torch.full((len(drawn),), 1 / n), law.weight
counted, exact = map(bandit.shares_under_noise, (drawn, law), weights)
print(f"counted {counted}, exact {exact}")
assert exact == [0.91, 0.073, 0.01] and 4.9e8 < 1 / math.erfc(6 / math.sqrt(2)) < 5.1e8  # what the text above says
assert all(abs(a - b) < 6 * math.sqrt(b * (1 - b) / n) for a, b in zip(counted, exact, strict=True))

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
rates, deltas, margins = [0.05, 0.1, 0.2, 0.3], [0.0, 2.0, 5.0], {}
for rate in rates:
    for delta, found in zip(deltas, bandit.trained_margins(rate, deltas), strict=True):
        exact = bit_flip_margin(rate, 0.3, delta)
        margins.setdefault(f"exact, Δ = {delta:g}", []).append((exact,) * 3)
        margins.setdefault(f"trained, Δ = {delta:g}", []).append(found)
        assert abs(found[0] - exact) < 3 * (found[2] - found[1]) / 2 + 0.02  # within the noise of sampling
assert abs(bit_flip_margin(0.1, 0.3, 0.0) - 2.4394) < 5e-5 and abs(bit_flip_margin(0.1, 0.3, 20.0) - 22.3121) < 5e-5
lines = ("bit-flips", "no-margin", "wrong-order", "large-margin", "descent", "law", "law-sampled")
assert all(ledger_row(f"noise-{line}").holds for line in lines)  # on random worlds

panels = {"reward margin m*": margins}
slider(lambda rate: bands(rates, panels, at=rate, x_title="wrong bits ε"), Stops("ε", rates, start=0.1))

# %% [markdown]
# With six answers the pairs are coupled, and there is no formula. But we still have the exact law of the noisy pairs. Beside
# SafeDPO stand two remedies from the literature, label smoothing (cDPO) and robust DPO, both given the true $\varepsilon$.

# %%
law, p = population(world), torch.sigmoid(world.reward[0, :4, None] - world.reward[0, 4:])  # p: safe against unsafe
assert (p < 0.1).sum() == 1 and abs(p.min() - 0.069) < 5e-4
for rate in (0.05, 0.1, 0.2):
    noisy, own = flip_bits(law, rate), {"beta": beta, "seed": 0, "rule": "safedpo", "flip_rate": rate}
    settings = {"delta": [0.0, 2.0, 10.0], "steps": 2000, "lr": 1.0, "record": [2000], "tolerance": 1e-3}
    path = fit(world, noisy.transform(), beta=beta, **settings).path
    harm, far = path.unsafe_mass[-1, 0, :, 0], path.tv[-1, 0, :, 0]
    smooth = unsafe_mass(world, METHODS["cDPO"](world, noisy, **own).logps).item()
    listed = ", ".join(f"{value:.1e}" for value in harm.tolist())
    print(f"ε = {rate}: unsafe mass at Δ = 0, 2, 10: {listed}; cDPO {smooth:.1e}")
    assert (harm.diff() < 0).all() and (far.diff() < 0).all()  # under noise the margin helps, in both respects
    assert smooth > harm[0]  # smoothing forgives, and forgives the unsafe answers too
    print("   ", refusal(NotConvergedError, METHODS["robust DPO"], world, noisy, steps=1000, **own))

# %% [markdown]
# Robust DPO corrects for *labels* that are wrong at rate $\varepsilon$. Here the *bits* are wrong at that rate. After $T$ a mixed
# pair is wrong less often than $\varepsilon$ if $p > \varepsilon$, and more often otherwise. (At $\varepsilon = 0.1$ that is one
# pair: the refusal beats drain acid with $p = 0.069$ only.) Where it is wrong less often, robust DPO corrects too much, and its
# loss has no minimum. A remedy must be given the error rate of the labels it actually sees.

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
unsafe_answers = [1, 3, 5] if FAST else [1, 2, 3, 4, 5]
shares, runs = [u * (u - 1) / 30 for u in unsafe_answers], [samples.reuse(u) for u in unsafe_answers]
panels = bandit.panels({(i, name): row for i, (rows, _) in enumerate(runs) for name, row in rows.items()})
empty = [without for _, without in runs]
lost = [f"{share:.3f}, {without:.1%}" for share, without in zip(shares, empty, strict=True)]
print("UU share, and prompts that T leaves without a pair:", lost)
harm, refusing = panels["unsafe mass"], panels["mass on refusals"]
assert empty[-1] > 0.25 > 0.1 > empty[0]  # whole prompts are lost
assert harm["drop (SafeDPO)"][-1][1] > 3 * harm["refusal wins"][-1][2]  # where UU is most, re-use pays in safety
middle = unsafe_answers.index(3)
assert refusing["refusal wins"][middle][1] > refusing["drop (SafeDPO)"][middle][2]  # and is paid for in refusals
assert harm["BFPO"][-1][0] > harm["drop (SafeDPO)"][-1][0]  # a finite target leaves unsafe mass
slider(lambda u: bands(shares, panels, at=u, x_title="share of UU pairs"), Stops("UU share", shares, start=shares[-1]))

# %% [markdown]
# Dropping is exact in theory, and costly where prompts are risky and pairs are few. Re-use reaches the lost prompts and
# teaches refusal. Read that at three unsafe answers (share 0.2); at five, the refusal is the only safe answer there is.
# Which of the two you want is a decision about over-refusal, not a theorem.

# %% [markdown]
# ## 6 Prompts that share parameters
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
length, rules = 200 if FAST else 600, ("safebetter", "safedpo")
table = {rule: torch.tensor([samples.shared_run(seed, rule, steps=length) for seed in range(20)]) for rule in rules}
more_harm, more_reward, *_ = (table["safebetter"] - table["safedpo"]).T  # paired: the same world in both
gap, pay = (mean_interval(values.tolist()) for values in (more_harm, more_reward))
print("safebetter has {:.3f} [{:.3f}, {:.3f}] more unsafe mass than SafeDPO,".format(*gap))
print("and {:.3f} [{:.3f}, {:.3f}] more expected reward, both from the same exact data".format(*pay))
assert gap[1] > 0  # with shared parameters, methods that have one optimum part
assert pay[1] > 0
*_, chosen, rejected = table["safedpo"].T
print(f"SafeDPO: log π(chosen) moved by {chosen.mean():+.2f}, log π(rejected) by {rejected.mean():+.2f};")
print(f"chosen fell in {(chosen < 0).sum()} of 20 worlds")
assert (rejected < chosen).all() and (chosen < 0).sum() >= 12 and chosen.mean() < 0  # gaps grew, chosen answers fell
names = {"safebetter": "safebetter + Δ", "safedpo": "SafeDPO"}
rows = {names[rule]: {"unsafe mass": bandit.share(values[:, 0])} for rule, values in table.items()}
still(*intervals(rows, confidence="95 %"))

# %% [markdown]
# There are three findings. The filter is now less safe than the swap, *with exact data*. SafeDPO pays for part of its safety
# with reward. And while the gap grows, the log-probabilities of chosen answers fall too, on average, because the loss sees
# only differences. This is **likelihood displacement**; DPO has it, and $T$ does not cure it. So always plot the two
# curves, not only their gap.
#
# Three answers are enough to see it. A step along $\varphi_w - \varphi_l$, two feature vectors of length 1, raises the winner's
# logit by $1 - \rho$ ($\rho = \varphi_w^\top \varphi_l$: how alike the two are; here 0.8), and a *third* answer's by its overlap $a$
# with that direction. If $a > 1 - \rho$ the third answer takes all in the end.

# %%
far = torch.tensor([10.0])
assert hand.displaced(0.0, far)[0, 0] > 0.5 and hand.displaced(0.5, far)[0, 0] < 1 / 3 < hand.displaced(0.5, far)[0, 2]
hand.displacement()

# %% [markdown]
# ## 7 Questions asked about SafeDPO, and where their numbers are
#
# | # | question | number | where |
# |---|---|---|---|
# | 1 | are UU pairs wasted? | unsafe mass and refusals, dropped against re-used, by UU share; prompts left with no pair | 5 |
# | 3 | what do wrong labels do? | shares under $T$, $m^\ast$ in closed form and trained, cDPO and robust DPO beside it | 4 |
# | 5 | is it just preprocessing? | $T$ and $\Delta$ two by two, and the filter | 2, 3 |
# | 6 | does $\Delta$ do anything? | distance and unsafe mass by step and $\Delta$ | 1, 4 |
# | 7 | are the assumptions mild? | pairs kept and unsafe mass by safe support | [10](10_the_wider_field.ipynb), 10 |
# | 8 | what is unbiased? | two sampled losses against the exact sum | [10](10_the_wider_field.ipynb), 10 |
# | 10 | one seed? | 20 samples or worlds and 95 % intervals | 2, 3, 4, 5, 6 |
# | 11 | how does it relate to MODPO? | MODPO's unsafe mass by weight | [10](10_the_wider_field.ipynb), 4 |
# | 16 | does displacement remain? | log-probabilities of chosen and rejected, separately | 6 |

# %% [markdown]
# ## Workshop
#
# Four longer exercises, about 45 minutes together. Nothing later depends on them.
#
# **Exercise 3** ●●● 20 min. *Write the training loop*, all of it: order the pairs with $T$, give each its margin, and descend on
# the mean SafeDPO loss of the pairs that are kept. The parameters are one table of logits, at first the reference.


# %%
def safedpo_loop(ref_logps, prompt, first, second, better, unsafe, beta, delta, lr, steps):
    """Log-probabilities (P, A) after `steps` steps of plain gradient descent from ref_logps (P, A).

    Comparison k shows the answers first[k] and second[k] to prompt[k]; better[k] is 0 if the first one was more helpful,
    else 1; unsafe (P, A) bool. If T keeps no pair, nothing is learnt.
    """
    ### BEGIN SOLUTION
    chosen, rejected = torch.where(better == 0, first, second), torch.where(better == 0, second, first)
    h_chosen, h_rejected = unsafe[prompt, chosen], unsafe[prompt, rejected]
    swap, keep = h_chosen & ~h_rejected, ~(h_chosen & h_rejected)
    x = prompt[keep]
    winner, loser = torch.where(swap, rejected, chosen)[keep], torch.where(swap, chosen, rejected)[keep]
    margin = delta * (h_chosen != h_rejected)[keep]
    logits = ref_logps.clone()
    for _ in range(steps):
        ratio = logits - ref_logps  # up to a constant for each prompt, which cancels
        m = beta * (ratio[x, winner] - ratio[x, loser])
        push = lr * beta * torch.sigmoid(margin - m) / len(x)
        logits = logits.index_put((x, winner), push, accumulate=True)
        logits = logits.index_put((x, loser), -push, accumulate=True)
    return logits.log_softmax(-1)
    ### END SOLUTION


# %%
check("safedpo_loop", safedpo_loop)

# %% [markdown]
# **Exercise 4** ●●○ 10 min. *Read an ablation.* Section 2 switched $T$ and $\Delta$ on and off and drew four intervals. Whether the two
# *need each other* is another number, the interaction. All four variants were trained on the same seeds. What does a
# positive interaction of harm mean, when both effects are negative?


# %%
def two_by_two(harm):
    """(effect of T alone, effect of Δ alone, interaction, its standard error) from harm (2, 2, S).

    harm[t, d, s]: with T (t = 1) or without (0), with Δ (d = 1) or without (0), seed s. Four numbers, means over the seeds.
    """
    ### BEGIN SOLUTION
    (neither, margin), (rule, both) = harm
    interaction = both - rule - margin + neither  # seed by seed
    error = interaction.std() / math.sqrt(len(interaction))
    return (rule - neither).mean(), (margin - neither).mean(), interaction.mean(), error
    ### END SOLUTION


# %%
check("two_by_two", two_by_two)

# %% [markdown]
# **Exercise 5** ●●○ 10 min. *Predict, then measure.* A safe and an unsafe answer are equally likely at first, and the safe one is
# chosen in the only pair. With $\beta = 0.1$, a learning rate of 5 and $\Delta = 5$ the unsafe mass is down to 0.001 after
# some number of steps. With $\Delta = 10$ it takes

# %%
predict("double_the_margin")


# %%
def steps_to_safety(beta, delta, lr, tau):
    """Steps of gradient descent (both logits start at 0) until the unsafe mass is at most τ, a whole number."""
    ### BEGIN SOLUTION
    gap, steps = 0.0, 0  # gap: logit of the safe answer minus that of the unsafe one
    while 1 / (1 + math.exp(gap)) > tau:
        weight = 1 / (1 + math.exp(beta * gap - delta))
        gap += 2 * lr * beta * weight
        steps += 1
    return steps
    ### END SOLUTION


# %%
check("steps_to_safety", steps_to_safety)

# %% [markdown]
# **Exercise 6** ●○○ 5 min. *Paired seeds.* Two methods were run on the same seeds. How large is their difference, with a 95 %
# interval? (Try also what becomes of the interval if you forget that the seeds are shared.)


# %%
def paired_difference(a, b):
    """(mean of a − b, low, high): two tensors (S,), one value for each seed, S >= 2; Student's t."""
    ### BEGIN SOLUTION
    from scipy.stats import t

    gap = a - b
    half = t.ppf(0.975, len(gap) - 1) * gap.std() / math.sqrt(len(gap))
    return gap.mean(), gap.mean() - half, gap.mean() + half
    ### END SOLUTION


# %%
check("paired_difference", paired_difference)

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
# failure of "margin only" that the paper measured needs few data or shared parameters to appear at all. We chose the
# refusals. Wrong bits were independent here; real annotators make correlated errors.

# %%
progress("04")

# %% [markdown]
# **References.** SafeDPO, arXiv 2505.20065, sections 3 and 4. BFPO: arXiv 2408.15313. Robust DPO: arXiv 2403.00409.
# The closed forms under noise are derived here.
#
# **Next:** [05 · Methods side by side](05_methods_side_by_side.ipynb).
