# %% [markdown]
# # 00 · Start here
#
# Ask people which of two answers is more helpful, and whether either is unsafe. From these comparisons and two bits,
# **SafeDPO** fine-tunes a language model so that it is as helpful as it can be while unsafe answers get no probability at
# all. No reward model, no cost model, no sampling: a reordering of the data, the loss of DPO, and one more number.
#
# This course takes the claim apart. Every step of the derivation is a number you can recompute, and every knob has a
# slider.
#
# **In this notebook you**
# - check that your machine has what the course needs;
# - move the one slider that contains the whole story;
# - run the ledger of claims, and see which equation of the paper is derived where;
# - choose a route.
#
# **Time** about 10 minutes. **You need** Python, PyTorch and a little probability. No GPU, no account.
#
# <!-- links -->
#
# Run the next cell first. Every notebook begins with the same one: it finds the package, or installs it alone where it is
# missing (on a bare Colab), and upgrades nothing that is already there.

# %%
# SET-UP

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
# and sure that people find them the most helpful. Three policies answer:
#
# - the **reference**, the model we start from;
# - what **DPO** is after: high reward, not too far from the reference;
# - what **SafeDPO** is after: the same, and no unsafe answer ever.
#
# The knob $\beta$ says how dearly a step away from the reference is paid.
#
# **Predict.** Which of the two, DPO or SafeDPO, changes its mind completely between $\beta = 10$ and $\beta = 0.02$?

# %%
predict("who_moves")

# %%
from safedpo.finite import expected_reward, kl, optimal_policy, six_answers, unsafe_mass
from safedpo.show import Stops, slider
from safedpo.show.figures.policies import policies

world = six_answers()
betas = [0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10]


def three(beta):
    optima = {"DPO": optimal_policy(world, beta, penalty=0.0), "SafeDPO": optimal_policy(world, beta)}
    facts = {
        name: {"expected reward": expected_reward(world, p).item(), "KL": kl(p, world.ref_logps).item()}
        for name, p in optima.items()
    }
    bars = {name: p[0].exp().tolist() for name, p in ({"reference": world.ref_logps} | optima).items()}
    return policies(world.labels, world.unsafe[0].tolist(), bars, facts=facts, setting=f"At β = {beta:g}")


slider(three, Stops("β", betas, start=0.5))

# %% [markdown]
# Hatched bars are unsafe answers. In these notebooks a sentence that says "more" or "less" stands beside a cell that would
# fail if it were false:

# %%
dpo, safe = ([optimal_policy(world, beta, penalty=c) for beta in betas] for c in (0.0, math.inf))
harm = [unsafe_mass(world, policy).item() for policy in dpo]
# The smaller β, the more DPO turns to the hazards; even at β = 10 it is worse than the reference.
assert all(later < earlier for earlier, later in zip(harm, harm[1:], strict=False))
assert harm[0] > 0.99 and harm[-1] > unsafe_mass(world, world.ref_logps)
assert all(unsafe_mass(world, policy) == 0 for policy in safe)  # SafeDPO: exactly zero, for every β
earned = [[expected_reward(world, policy).item() for policy in policies] for policies in (dpo, safe)]
price = [a - b for a, b in zip(*earned, strict=True)]
assert min(price) > 0  # safety is not free
print(f"DPO's unsafe mass runs from {harm[-1]:.2f} (β = 10) to {harm[0]:.2f} (β = 0.02)")
print(f"SafeDPO gives up between {min(price):.2f} and {max(price):.2f} of expected reward")

# %% [markdown]
# ## 3 The ledger
#
# Each statement of the derivation is a line in a ledger: its two sides are computed by different routes on fresh random
# worlds, and the line holds if they agree. `safedpo verify` does the same at the command line, on 50 worlds for each claim.

# %%
from safedpo.labs.ledger import ledger_table, run_ledger

rows = run_ledger(seed=0, worlds=1 if FAST else 5)
assert all(row.holds for row in rows)
print(f"{len(rows)} claims, and each of them holds")
ledger_table(rows)

# %% [markdown]
# ## 4 From the paper's equations to the cells that derive them
#
# Nothing in this table was typed in. The places are where a notebook cell checks itself against a claim; the numbers are
# the residuals on fresh worlds.

# %%
from safedpo.files import shipped
from safedpo.labs.ledger import equation_table, run_ledger

rows = run_ledger(seed=1, worlds=1 if FAST else 2)
table = equation_table(rows, shipped("notebooks"))
assert all(row.holds for row in rows)
assert all(derived for _, _, derived, _ in table.lines)  # no statement is left out
table

# %% [markdown]
# ## 5 The same margin on a real language model
#
# Six answers are a toy. Below are stored responses of a small language model, fine-tuned once for every $\Delta$ with the same
# two functions that you have just seen. Move $\Delta$ and watch the hazards go (marked parts), and what it costs. How these runs
# were made is notebook 07; what the picture shows, how sure it is, and how to move it live is notebook 08.

# %%
import json

from safedpo.files import shipped
from safedpo.household import score
from safedpo.show import explorer

sweep = json.loads((shipped("data") / "results/household/sweep.json").read_text("utf-8"))
explorer(sweep, score)

# %% [markdown]
# No Python at hand? `safedpo site --out site --live` makes a page in which the same model answers in a browser: type a
# request, move $\Delta$, watch a hazard vanish. The README has a picture of it.
#
# ## 6 Choose your route
#
# **The course.** Read the notebooks in order, about half an hour each. The versions in `student/` leave the exercises to
# you; a checker tells you what is right and names the likely mistake. `safedpo lab` opens them.
#
# **Colab.** Open any notebook and run all cells. Each stands alone.
#
# **Research.** Read 02 and 03, then go to the command line: `safedpo verify` for the theory, `safedpo data FILE` for what
# $T$ does to your preference data, `safedpo train --help` for fine-tuning.

# %%
import json
import re

from safedpo.files import shipped

for path in sorted(shipped("notebooks").glob("[0-9][0-9]_*.ipynb")):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    exercises = sum(bool(re.match(r"check\(", "".join(cell["source"]))) for cell in cells)
    title = cells[0]["source"][0].removeprefix("# ").strip()
    print(f"{title:40} {exercises} exercises   {path.name}")

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
