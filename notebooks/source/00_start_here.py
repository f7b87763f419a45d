# %% [markdown]
# # 00 · Start here
#
# Ask people which of two answers is more helpful, and whether either is unsafe. From these comparisons and two bits,
# **SafeDPO** fine-tunes a language model so that it is as helpful as it can be while unsafe answers get no probability at
# all. It needs no reward model, no cost model and no sampling. It reorders the data, keeps the loss of **DPO** (direct
# preference optimisation, which fits a model to comparisons; notebook 01 derives it), and adds one number to it.
#
# This course takes the claim apart. You can recompute every step of the derivation as a number, and move every setting
# with a slider.
#
# **In this notebook you**
# - check that your machine has what the course needs;
# - move the one slider that contains the whole story;
# - run the ledger of claims, and see which cell derives which equation of the paper;
# - choose a route.
#
# **Time** about 10 minutes. **You need** Python, PyTorch and a little probability. No GPU, no account.
#
# <!-- links -->
#
# Run the next cell first. Every notebook begins with the same one: it finds the package, or installs it alone where it is
# missing (on a bare Colab), and upgrades nothing that is already there. The cell after it brings in the names that the
# lesson uses.

# %%
# SET-UP
world = six_answers()

# %% [markdown]
# ## 1 Is everything here?
#
# The doctor lists what is installed, which device will be used and why, and what to do about each problem.

# %%
from safedpo.cli.doctor import doctor

doctor().show()

# %% [markdown]
# ## 2 The whole story in one figure
#
# *"The sink is blocked. What do I do tonight?"* There are six answers. Two of them are hazardous, and they sound so quick
# and sure that people find them the most helpful. A **policy** gives each answer a probability. Three policies answer:
#
# - the **reference**, the model we start from;
# - what **DPO** is after: high reward, not too far from the reference;
# - what **SafeDPO** is after: the same, and no unsafe answer ever.
#
# The setting $\beta$ sets the price of moving away from the reference. The distance is the Kullback-Leibler divergence
# KL (notebook 01 defines it). The **unsafe mass** of a policy is the probability that its answer is unsafe.
#
# **Predict.** Which of the two, DPO or SafeDPO, changes its mind completely between $\beta = 10$ and $\beta = 0.02$?

# %%
predict("who_moves")


# %%
def three(beta):
    optima = {"DPO": optimal_policy(world, beta, penalty=0.0), "SafeDPO": optimal_policy(world, beta)}
    return bars(world, {"reference": world.ref_logps} | optima, f"At β = {beta:g}")


slider(three, Stops("β", BETAS, start=0.5))

# %% [markdown]
# Hatched bars are unsafe answers. In these notebooks a sentence about what a figure shows stands beside a cell that would
# fail if the sentence were false:

# %%
dpo, safe = ([optimal_policy(world, beta, penalty=c) for beta in BETAS] for c in (0.0, math.inf))
harm = [unsafe_mass(world, policy).item() for policy in dpo]
assert falling(harm)  # the smaller β, the more DPO turns to the hazards,
assert harm[0] > 0.99 and harm[-1] > unsafe_mass(world, world.ref_logps)  # and even at β = 10 it has more of them
assert all(unsafe_mass(world, policy) == 0 for policy in safe)  # SafeDPO: exactly zero, for every β
price = [(expected_reward(world, a) - expected_reward(world, b)).item() for a, b in zip(dpo, safe, strict=True)]
assert min(price) > 0  # safety is not free
print(f"DPO's unsafe mass runs from {harm[-1]:.2f} (β = 10) to {harm[0]:.2f} (β = 0.02)")
print(f"SafeDPO gives up between {min(price):.2f} and {max(price):.2f} of expected reward")

# %% [markdown]
# ## 3 The ledger
#
# Each statement of the derivation is a claim, a line in a ledger. Its two sides are computed by different routes, for most
# claims on fresh random worlds. How far they are apart is the claim's **residual**. The claim holds if that is at most what
# is allowed: rounding, or where one side is sampled 6 **standard errors** (one is the typical error of a sampled mean).
# `safedpo verify` does the same at the command line, with up to 50 worlds for a claim.

# %%
rows = run_ledger(seed=0, worlds=1 if FAST else 5)
assert all(row.holds for row in rows)
print(f"{len(rows)} claims, and each of them holds")
ledger_table(rows)

# %% [markdown]
# ## 4 From the paper's equations to the cells that derive them
#
# The statements and their wording are written by hand; which claims belong to which statement too. The rest is computed now.
# The places are the cells that check themselves against a claim, found by reading the notebooks. The numbers are the
# residuals on fresh worlds.
#
# The paper's appendix was not available when this kit was written. So every proof in these notebooks is the kit's own, and
# where a statement is our reading of the paper, the text says so.

# %%
rows = run_ledger(seed=1, worlds=1 if FAST else 2)
table = equation_table(rows)
assert all(row.holds for row in rows)
assert all(derived for _, _, derived, _ in table.lines)  # no statement is left out
table

# %% [markdown]
# ## 5 The same margin on a real language model
#
# Six answers are a toy. SafeDPO's extra number is the **safety margin** $\Delta$, which notebook 03 explains. Below are stored
# responses of a small language model, fine-tuned once for every $\Delta$. Move $\Delta$: in the dots, measured on sampled
# responses, harm falls. Watch also what that costs. (Few of the texts shown hold a hazard.) Notebook 07 shows how these runs
# were made, notebook 08 how sure the picture is.

# %%
from safedpo.evaluate.results import stored_results
from safedpo.household import score

explorer(stored_results().sweep, score)

# %% [markdown]
# No Python at hand? `safedpo site --out site --live` makes a page in which the same model answers in a browser: type a
# request, move $\Delta$, watch a hazard vanish. The README has a picture of it.
#
# ## 6 Choose your route
#
# **The course.** Begin with [P0, the prerequisites](P0_prerequisites.ipynb): ten questions tell what you may skip. Then read the
# notebooks in order, 35 to 60 minutes each. (The minutes at the top of a notebook are computed: 150
# words of text a minute, five seconds a line of code, a minute for each prediction and slider, five for a short exercise.)
# The versions in `student/` leave the exercises to
# you; a checker tells you whether you are right, and names the likely mistake if you are not. `safedpo lab` opens them.
# Your predictions are forgotten with the session, unless you run `keep_predictions("my_answers.json")` at its start.
#
# **Colab.** Open any notebook and run all cells. Each stands alone.
#
# **A browser alone.** `safedpo site --out site` writes the *playground* beside the lessons: one page to pass on, in which the
# reader edits the six answers of section 2 and watches a run train.
#
# **Research.** Read 02 and 03, then go to the command line: `safedpo verify` for the theory, `safedpo data FILE` for what
# SafeDPO's reordering does to your preference data, `safedpo train --help` for fine-tuning.

# %%
contents()

# %% [markdown]
# ## Recap
#
# $$
# \text{SafeDPO} \;=\; \text{reorder the pairs by two bits} \;+\; \text{DPO} \;+\; \text{a safety margin } \Delta .
# $$
#
# **What we have not shown.** How the language model above was trained, and how far to trust its numbers: notebooks 07 and 08.
#
# **References.** SafeDPO: arXiv 2505.20065. DPO: arXiv 2305.18290.
#
# **Next:** [01 · From preferences to DPO](01_from_preferences_to_dpo.ipynb).
