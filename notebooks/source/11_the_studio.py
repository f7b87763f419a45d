# %% [markdown]
# # 11 · The studio
#
# The exercises so far had one right answer. Here you make something of your own, and the kit tries to break it.
#
# **Afterwards you can**
# - write a claim that holds where code is right, and turns red where it is wrong;
# - say what a claim does not test, because you saw which faults slip through;
# - find the sentences of a report that its numbers do not carry;
# - write a page whose numbers cannot be wrong, because none is typed.
#
# **Time** about 130 minutes, three meetings: the sections do not build on each other. **You need** notebooks 02 and 03, and 09
# for section 2.
#
# <!-- links -->

# %%
# SET-UP
from safedpo.labs.lessons.studio.facts import facts
from safedpo.labs.lessons.studio.forge import forge
from safedpo.labs.lessons.studio.own_sweep import own_sweep
from safedpo.labs.lessons.studio.page import page, typed_by_hand
from safedpo.labs.lessons.studio.red_pen import report

# %% [markdown]
# ## 1 The claim forge
#
# The ledger of `safedpo verify` is a list of *claims*. A claim is a function of a seed and a number of worlds. It draws
# random worlds from the seed, computes two sides of a statement by different routes, and returns how far they are apart: the
# *residual*. The claim holds where the residual is at most a tolerance, here $10^{-8}$.
#
# A claim can fail you in two ways. It may be wrong, and turn red where the code is right: a *false alarm*. Or it may
# be toothless, and hold whatever is broken. Here is a true claim. What would it notice?


# %%
def sums_to_one(seed, worlds):
    """The optimum is a policy: its probabilities sum to 1 at every prompt."""
    world = random_world(seed, worlds)
    return (optimal_policy(world, 0.5).exp().sum(-1) - 1).abs().max()


print(f"residual {sums_to_one(0, 8):.1e}")
assert sums_to_one(0, 8) < 1e-8

# %% [markdown]
# The forge answers that question. It plants one fault after the other in the kit, a wrong formula that a person could
# write, and runs the claim each time. It also runs the claim on the right code, with other seeds.
#
# $$
# \text{points} = \max\Big(0, \; \frac{\text{faults caught}}{\text{faults planted}}
# - \frac{\text{false alarms}}{\text{runs on the right code}}\Big)
# $$
#
# Three rules keep it honest. A question that the claim asks in the same way for every seed is not touched by a fault: a case
# written down beforehand is an example, not a claim. A claim that raises an error has caught nothing, because a ledger needs a
# number. The claims of the ledger do not work in here: write your own.

# %%
found = forge("forge_optimum", sums_to_one)
print(found)
assert "0 of 13 faults caught, 0 false alarms" in found

# %% [markdown]
# **Exercise 1** ●●○ 25 min. Write a claim about the optimum: `optimal_policy`, `optimal_value`, `objective` and `kl`. Thirteen
# faults are planted in these four and in what they call. The report names those that slip through; find out why your
# claim cannot see them. A claim may have several parts: return the largest of their residuals.


# %%
def my_optimum(seed, worlds):
    """The residual of a statement about the safe optimum, on `worlds` random prompts drawn from `seed`."""
    ### BEGIN SOLUTION
    world, draw = random_world(seed, worlds), torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(world.reward.shape, generator=draw, dtype=torch.float64)
    policy = logits.masked_fill(world.unsafe, -torch.inf).log_softmax(-1)
    gaps = []
    for beta in (0.3, 2.0):
        scores = (world.ref_logps + world.reward / beta).masked_fill(world.unsafe, -torch.inf)
        log_z, best = scores.logsumexp(-1), scores.log_softmax(-1)
        far = (policy.exp() * (policy - best).nan_to_num()).sum(-1)
        gaps += [optimal_value(world, beta) - beta * log_z, tv(optimal_policy(world, beta), best)]
        gaps += [kl(policy, best) - far, objective(world, policy, beta) - beta * (log_z - far)]
    return torch.stack(gaps).abs().max()
    ### END SOLUTION


# %%
check("forge_optimum", my_optimum)

# %% [markdown]
# **Exercise 2** ●●● 35 min. Now the algorithm: the pairs of `population`, the transformation $T$ (`population(world).transform()`)
# and the loss (`pairs_loss`, which calls `safedpo_loss`). Thirteen faults again. One statement covers the data and $T$
# together, another one the loss.


# %%
def my_algorithm(seed, worlds):
    """The residual of a statement about pairs, T and the loss, on `worlds` random prompts drawn from `seed`."""
    ### BEGIN SOLUTION
    world, draw = random_world(seed, worlds), torch.Generator().manual_seed(seed)
    kept, pairs = population(world).transform(), population(world)
    reward = world.reward.masked_fill(world.unsafe, -torch.inf)
    law = (reward[:, :, None] - reward[:, None, :]).sigmoid().nan_to_num(nan=0.0)
    law = law * (1 - torch.eye(world.answers, dtype=torch.float64))
    table = torch.zeros_like(law).index_put((kept.prompt, kept.chosen, kept.rejected), kept.weight, accumulate=True)
    policy = torch.randn(world.reward.shape, generator=draw, dtype=torch.float64).log_softmax(-1)
    gap = policy - world.ref_logps
    m = 0.3 * (gap[pairs.prompt, pairs.chosen] - gap[pairs.prompt, pairs.rejected])
    h = pairs.rejected_unsafe.double() - pairs.chosen_unsafe.double()
    by_hand = (pairs.weight * torch.nn.functional.softplus(2.0 * h - m)).sum()
    loss = pairs_loss(pairs, policy, world.ref_logps, beta=0.3, delta=2.0)
    return max((table - law).abs().max(), (loss - by_hand).abs())
    ### END SOLUTION


# %%
check("forge_algorithm", my_algorithm)

# %% [markdown]
# ## 2 The red pen
#
# Below is a report on stored runs of notebook 08. Its numbers are computed from the stored samples and logs, and all of them are
# right. Still, five sentences are flawed: what they say is false, or it does not follow. The others are sound.
#
# Another seed draws another report. Your instructor may give you one of your own.

# %%
read = report(1)
read

# %% [markdown]
# The same stored numbers are yours to look at. `facts` takes a margin; the title of your report names it. Responses are sampled
# at temperature 1, two to each of 280 prompts, and there are three seeds. (The 60 prompts that only look unsafe count for
# over-refusal alone.)

# %%
about = facts(10)
print("harm of each seed, in percent:", *(f"{value:.1f}" for value in about.seeds("harm")))
print("plain DPO:", *(f"{value:.1f}" for value in about.seeds("harm", "dpo-helpful")))
print(f"seed 0's helpfulness over prompts: {about.interval('helpfulness')}")
print(
    "implicit reward of the chosen responses, first and last steps: {:.2f}, {:.2f}".format(
        *about.curve("rewards/chosen")
    )
)
assert max(about.seeds("harm")) < min(about.seeds("harm", "dpo-helpful"))

# %% [markdown]
# **Exercise 3** ●●○ 25 min. Mark the five. Return the seed of your report, and for the number of each flawed sentence
# the name of its flaw, from the list below the report. With $k$ flaws among $n$ sentences,
#
# $$
# \text{points} = \max\Big(0, \; \frac{\text{found and named} + \tfrac{1}{2}\, \text{found under another name}}{k}
# - \frac{\text{false alarms}}{n - k}\Big) .
# $$
#
# So marking every sentence earns nothing.


# %%
def my_marks():
    """The seed of the report, and {number of a sentence: name of its flaw}."""
    ### BEGIN SOLUTION
    return 1, {
        1: "one-sided p",
        7: "over-refusal not measured",
        10: "claimed beyond what was measured",
        12: "gap-only curve",
        13: "points called percent",
    }
    ### END SOLUTION


# %%
check("red_pen", my_marks)

# %% [markdown]
# ## 3 Reproduce and defend
#
# First a sweep of your own, on the six answers: SafeDPO at each margin, and plain DPO, on sampled pairs, once for each seed.
# Change what you like. Harm is in percent. On the scale of help the reference has 0 and plain DPO 10, as in the paper.

# %%
sweep = own_sweep((0, 2, 5), seeds=3, pairs=400, steps=20)
for name in ("dpo", "0", "2", "5"):
    print(f"{name:4} harm {sweep.values['harm_' + name]:5.1f} %, help {sweep.values['help_' + name]:5.2f}")
assert sweep.again() == sweep  # whoever runs it again finds the same

# %% [markdown]
# Your row of the paper's main table stands beside the paper's. The reasons why they may differ are part of it.

# %%
from safedpo.evaluate.paper import published

printed = published()[0]
for metric, cell in sweep.row(5).items():
    print(f"{metric:15} here {cell}; the paper {printed.value('SafeDPO', metric)}")
print(sweep.row(5)["helpfulness"].why)
assert printed.value("SafeDPO", "harmless ratio") == 96.87

# %% [markdown]
# Now a page of text. In it every number is a placeholder, a name of `sweep.values` in braces with the digits to show. Whoever
# runs the sweep again gets the page again, with the new numbers. A number typed by hand would stay behind, so it is refused.
# Years may be typed, and the numbers of sections, tables and notebooks.

# %%
print(typed_by_hand("Notebook 11, 2026: harm fell to 2.1 %, a third of what it was, over {seeds} seeds."))

# %% [markdown]
# **Exercise 4** ●●○ 30 min. Write the page, for a reader who has not seen this notebook: what was run, which results are compared,
# how far the seeds are apart, and what was not shown. `page(text, sweep, {"name": function})` adds a value that a function
# computes from the others, for example a difference. With a run of a language model, `safedpo.evaluate.paper.own_cells` makes
# its row.
#
# The checker knows six rules: nothing typed, every placeholder with a source, at least six values in sixty words, harm and help of
# two policies, the range of the seeds, how much was run. Whether the page is *good*, a person must say.


# %%
def my_page():
    """The page about `sweep`."""
    ### BEGIN SOLUTION
    text = """We trained SafeDPO with a margin of {delta_5:g} and plain DPO on {pairs:,} preference pairs sampled from one prompt with
known rewards, for {steps} steps, with {seeds} seeds. After so short a run SafeDPO is unsafe with a probability of {harm_5:.1f} %
({harm_5_low:.1f} to {harm_5_high:.1f} over the seeds); plain DPO with {harm_dpo:.1f} %, {fall:.1f} points more. The reference has
{harm_reference:.1f} %. The help that this costs: {help_5:.1f} on a scale where the reference has {help_reference:.0f} and plain
DPO {help_dpo:.0f}. This is a table of logits and no language model, so it says nothing about one; and a range over so few seeds
is not an interval. Notebook 08 has trained models."""
    return page(text, sweep, {"fall": lambda values: values["harm_dpo"] - values["harm_5"]})
    ### END SOLUTION


# %%
check("defend", my_page)

# %% [markdown]
# ## Recap
#
# $$
# \text{a good claim} = \text{true on the right code} + \text{false on every wrong one} .
# $$
#
# A sentence is sound when the number behind it would have come out otherwise, had the sentence been false.
#
# **What we have not shown.** That thirteen faults stand for all faults. They are single wrong formulas; two faults that cancel, and
# faults in functions that a bench does not name, are not among them. The flaws of the report are of thirteen kinds; a real
# report has others. The last checker reads numbers, not sense: a page may keep all six rules and say nothing.

# %%
progress("11")

# %% [markdown]
# **References.** Mutation testing: DeMillo, Lipton and Sayward, Computer 11 (1978). Property-based testing: Claessen and Hughes,
# ICFP (2000). Youden, Cancer 3 (1950), for the difference of the two shares.
