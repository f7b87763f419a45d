# %% [markdown]
# # 07 · Fine-tuning with LoRA
#
# The same two functions, `order_pairs` and `safedpo_loss`, that moved a table of six answers now move a language
# model with 135 million parameters. Nothing is exact any more, so everything is measured. In a few minutes on a
# laptop a model that gives hazardous household advice all but stops doing so; what that costs in help is measured too.
#
# **Afterwards you can**
# - read a data report: what T keeps, swaps and drops, before any training;
# - say what a run will cost in memory before a weight is loaded;
# - predict the loss of the first step, and use it as a check of the whole pipeline;
# - read the training curves, chosen and rejected apart, group by group;
# - judge a policy beside its reference with intervals: harm, helpfulness and over-refusal together.
#
# **Time** about 40 minutes, of which the machine trains for two or three. **You need** the loss of notebook 03. The
# first run fetches a model of 93 MB once.
#
# <!-- links -->

# %%
# SET-UP

# %% [markdown]
# ## 1 The data, before anything else
#
# `data/household` is preference data in the schema of PKU-SafeRLHF, safe to read aloud: everyday requests, answered
# well, uselessly, or with the kind of dangerous shortcut one hears at home. A record has a prompt, two responses, two
# safety bits, and which response people liked better.

# %%
from safedpo import read_records
from safedpo.household import load

records = read_records(load("train"))
example = next(r for r in records.records if r.unsafe[r.better] and not r.unsafe[1 - r.better])
print(example.prompt)
for i, response in enumerate(example.responses):
    print(f"  [{'UNSAFE' if example.unsafe[i] else 'safe'}{', preferred' if i == example.better else ''}] {response}")

# %% [markdown]
# People preferred the dangerous one. That is a US pair, and T swaps it. All of them counted:

# %%
counts = records.counts()
print(counts)
assert counts["SS"] + counts["SU"] + counts["US"] + counts["UU"] == counts["rows"]  # no row is lost in silence
assert counts["kept"] == counts["rows"] - counts["UU"] and counts["swapped"] == counts["US"]
assert counts["US"] > counts["SU"]  # in most mixed pairs the unsafe response was the one people preferred

# %% [markdown]
# That last line is why plain DPO on these labels cannot make the model safer: it would be paid to do the opposite.

# %% [markdown]
# ## 2 What it costs, before loading
#
# LoRA leaves the weight $W$ of each linear layer alone and trains two thin matrices beside it,
#
# $$
# W x \;\longrightarrow\; W x + \frac{\alpha}{r} \, B A x , \qquad A \in \mathbb{R}^{r \times n_{\mathrm{in}}}, \;
# B \in \mathbb{R}^{n_{\mathrm{out}} \times r} , \qquad B = 0 \text{ at first} .
# $$
#
# With $B = 0$ the policy *is* the reference, to the last bit. And "adapter off" stays the reference for ever: no second
# model in memory.
#
# **Exercise 1.** How many numbers does LoRA train?


# %%
def lora_parameters(shapes, rank):
    """shapes: (n_in, n_out) of each adapted layer -> how many numbers the adapters have."""
    ### BEGIN SOLUTION
    return sum(rank * (n_in + n_out) for n_in, n_out in shapes)
    ### END SOLUTION


# %%
check("lora_parameters", lora_parameters)

# %% [markdown]
# The kit computes the memory of a run from the model's shape alone:

# %%
from safedpo.lm.models.memory import memory_estimate

estimate = memory_estimate("smollm2-135m", r=4, dtype="float32")
print(estimate)
assert estimate.trainable < 0.01 * estimate.parameters  # under one in a hundred
assert estimate.optimizer < 0.05 * estimate.weights  # Adam's moments are kept for the adapter alone

# %% [markdown]
# ## 3 One run, from beginning to end
#
# ### The reference, and what it says
#
# As in the paper, the reference is a model fine-tuned on *all* responses of the data, good and bad. So it can be
# unsafe, and it is. (It is SmolLM2-135M with a shipped adapter merged in; `data/adapters/household-sft` has the command.)

# %%
from safedpo.lm import load_model

reference = load_model("smollm2-135m-household")
print(f"{reference.source}: {reference.dtype_reason}")

# %%
from safedpo import read_records
from safedpo.evaluate import Decoding, generate, judge, scorer_for
from safedpo.household import load

prompts = list(dict.fromkeys(r.prompt for r in read_records(load("test")).records))[:: 9 if FAST else 3]
decoding = Decoding(samples=1, greedy=True, seed=0)
before = generate(reference.model, reference.tokenizer, prompts, decoding)
judged_before = judge(before, scorer_for(prompts))
print(f"{len(prompts)} held-out prompts, one sampled response each")
for name, interval in judged_before.metrics.items():
    print(f"  {name:13} {interval}")

# %% [markdown]
# The numbers in brackets are 95 % intervals over prompts. With so few prompts they are wide, and it is honest to see it.

# %% [markdown]
# ### The first loss is a theorem
#
# **Predict.** $\Delta = 10$. What is the mean loss before the first step?

# %%
predict("first_loss")

# %% [markdown]
# At the reference every reward margin is $m = 0$, so
#
# $$
# L_0 = (1 - f) \log 2 + f \, \mathrm{softplus}(\Delta) , \qquad f = \text{share of safe-over-unsafe pairs after T} .
# $$
#
# If a run starts anywhere else, something is wrong: another template, a reference in another dtype, dropout, a flag
# turned round. That is why the trainer checks it every time.
#
# **Exercise 2.** Write it.


# %%
def step_zero_loss(equal, mixed, delta):
    """equal: pairs of equal safety, mixed: safe-over-unsafe pairs after T -> the mean loss at the reference."""
    ### BEGIN SOLUTION
    return (equal * math.log(2) + mixed * math.log1p(math.exp(delta))) / (equal + mixed)
    ### END SOLUTION


# %%
check("step_zero_loss", step_zero_loss)

# %% [markdown]
# ### Train
#
# One call, with the settings of the recipe `household` but fewer pairs than its 1,000.
# `max_pairs` draws pairs from those that T keeps; the reference's log-probabilities are computed once, for these
# pairs only, and kept on disk under a fingerprint of weights, template and tokens.

# %%
import tempfile
from pathlib import Path

from safedpo.household import load
from safedpo.labs.live.curves import LiveCurves
from safedpo.lm import train
from safedpo.lm.training.recipes import RECIPES

live = LiveCurves()
live.widget

# %%
folder = Path(tempfile.mkdtemp()) / "safedpo"
recipe = RECIPES["household"] | {"max_pairs": 16 if FAST else 300}
print(recipe)
run = train(**recipe, data=load("train"), output_dir=folder, delta=10.0, seed=0, callbacks=[live])

# %% [markdown]
# The line "step 0" above is the theorem, measured. Here it is from the run's own file, computed once more by hand:

# %%
import json

about = json.loads((folder / "run.json").read_text())
groups = [row.get(f"{g}/pairs", 0) for row in run.log for g in ("SS", "SU", "US", "UU")]
equal, mixed = sum(groups[0::4]), sum(groups[1::4]) + sum(groups[2::4])
by_hand = (equal * math.log(2) + mixed * math.log1p(math.exp(10.0))) / (equal + mixed)
print(f"{equal} pairs of equal safety, {mixed} safe-over-unsafe: {by_hand:.4f}; {about['step_zero']}")
assert abs(by_hand - about["step_zero"]["predicted"]) < 1e-4
assert sum(groups[3::4]) == 0  # T dropped every pair of two unsafe responses before batching

# %% [markdown]
# **Predict.** The loss asks for a larger *difference*. What happens to the log-probability of the chosen response?

# %%
predict("chosen_logp")

# %%
from safedpo.labs.live.curves import PANELS, smooth
from safedpo.show import curves, still

steps = [row["step"] for row in run.log]
panels = {
    panel: {line: smooth([row.get(name) for row in run.log]) for line, name in lines.items()}
    for panel, lines in PANELS.items()
}
still(*curves(steps, panels))

# %%
first, last = run.log[0], run.metrics
assert FAST or last["rewards/margins"] > first["rewards/margins"]  # the gap grows: that is what the loss asks for
change = {
    side: last[f"rewards/{side}"] / recipe["beta"] for side in ("chosen", "rejected")
}  # reward / beta = change in nats
print({side: f"{nats:+.1f} nats against the reference" for side, nats in change.items()})
assert FAST or change["chosen"] > change["rejected"]

# %% [markdown]
# ### Before and after
#
# **Predict.** What does the policy do where the reference gave hazardous advice?

# %%
predict("after_training")

# %%
after = generate(run.policy, run.tokenizer, prompts, decoding)
judged_after = judge(after, scorer_for(prompts))
greedy = [sample for sample in judged_before.samples if sample.greedy]
said = {sample.prompt: sample.response for sample in judged_after.samples if sample.greedy}
for sample in sorted(greedy, key=lambda sample: not sample.unsafe)[:4]:  # the unsafe ones first
    print(f"{sample.prompt}\n  before: {sample.response}\n  after:  {said[sample.prompt]}\n")

# %%
from safedpo.show import intervals

rows = {
    name: {m: (i.value, i.low, i.high) for m, i in judged.metrics.items() if i.n}
    for name, judged in (("reference", judged_before), ("SafeDPO, this run", judged_after))
}
still(*intervals(rows))

# %% [markdown]
# The same on all held-out prompts, with 1,000 pairs, three seeds, and three sampled responses each, beside plain DPO on the helpful
# labels; stored in `data/results/household` with the commands that made it:

# %%
from IPython.display import Markdown, display
from safedpo.evaluate.table import markdown_table, read_rows
from safedpo.files import shipped

stored = read_rows(shipped("data") / "results" / "household")
display(Markdown(markdown_table(stored)))
harm, help_ = (
    {row.name: sum(row.values[name]) / len(row.values[name]) for row in stored} for name in ("harm", "helpfulness")
)
margin_10, margin_0 = "safedpo-delta-10", "safedpo-delta-0"
assert all(len(row.seeds) == 3 for row in stored if row.name in (margin_10, margin_0, "dpo-helpful"))
assert harm[margin_10] <= 0.03 < 0.25 <= harm["reference"] <= harm["dpo-helpful"]  # safe, and plain DPO is no safer
assert harm[margin_10] < harm[margin_0] < harm["reference"]  # T alone goes part of the way
assert (
    help_["reference"] <= help_[margin_10] < help_[margin_0]
)  # not at the cost of help, though without the margin it helps more
each = {row.name: row.values["harm"] for row in stored}
assert max(each[margin_10]) < min(each[margin_0]) and max(each[margin_0]) < min(each["dpo-helpful"])  # seed by seed

# %% [markdown]
# The numbers in brackets are the seeds. DPO on the helpful labels is no safer than its reference, which is what it was paid for. $T$
# alone, without a margin, takes away a part of the harm and helps more than the reference does. The margin $\Delta = 10$ takes
# away nearly all the harm; what $T$ had gained in help it gives back, so the policy ends about as helpful as its reference. The
# theorem says that all these margins have the same optimum; it does not say when a run gets there: **path, not destination**.
#
# What the margin costs is in the logs of the stored runs. The reward margin $m$ of the safe-over-unsafe pairs has come to about where
# $\Delta$ asks for it. But the *chosen* responses, which gain without a margin, lose with it: to make one response so much less
# likely than another, the run makes both less likely, and what they lose goes to texts that no pair mentions (likelihood
# displacement; notebook 06 sees where it goes). Read the responses above and in notebook 08: some are broken sentences, and the
# gibberish scorer, made for coarser damage, does not count them.

# %%
import json

from safedpo.files import shipped

late = {}
for name in (margin_0, margin_10):
    log = shipped("data") / "results/household" / name / "0/log.jsonl"
    rows = [json.loads(line) for line in log.read_text().splitlines()][-50:]
    late[name] = {
        key: sum(values) / len(values)
        for key in (*(f"{g}/rewards/margins" for g in ("SS", "SU", "US")), "rewards/chosen")
        if (values := [row[key] for row in rows if row.get(key) is not None])
    }
    print(name, {key: f"{value:+.1f}" for key, value in late[name].items()})
assert (
    late[margin_10]["US/rewards/margins"] > 8 > 5 > late[margin_0]["US/rewards/margins"]
)  # the margin drives them apart
assert (
    late[margin_10]["rewards/chosen"] < 0 < late[margin_0]["rewards/chosen"]
)  # and takes the chosen ones down with them

# %% [markdown]
# These runs use $\beta = 2$, not the paper's 0.1. With 0.1 the same $\Delta$ asks for a log-ratio gap of $\Delta / \beta = 100$
# nats instead of 5, and so short a run with so large steps breaks the model on its way there. The settings were found by trial,
# on these same prompts: `data/results/household/README.md` lists the trials. How much $\Delta$ is enough, and what it costs, is
# notebook 08.

# %% [markdown]
# How far is that from the best possible? The data's generator is known, so the safe optimum's value is exact:

# %%
from safedpo.household import optimal_values, requests

best = optimal_values(requests(), beta=recipe["beta"])
print(
    f"helpfulness {help_[margin_10]:.3f} (delta 10), {help_[margin_0]:.3f} (delta 0) of {best.helpfulness:.3f} at the "
    f"exact safe optimum (beta = {recipe['beta']:g})"
)
assert best.unsafe == 0 and max(help_[margin_10], help_[margin_0]) < best.helpfulness  # neither is near it

# %% [markdown]
# ## 4 Interrupted, and gone on with
#
# A run that was interrupted goes on when it is started again with the same arguments, to the same weights, bit for bit (on
# a CPU). Here one is stopped in the middle on purpose.

# %%
import tempfile
from pathlib import Path

from safedpo.household import load
from safedpo.lm import train
from safetensors.torch import load_file
from transformers import TrainerCallback

place = Path(tempfile.mkdtemp())


class Unplugged(TrainerCallback):
    """Pulls the plug at step 3."""

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == 3:
            raise KeyboardInterrupt


def short_run(name, callbacks=()):
    return train(
        "smollm2-135m-household",
        load("train"),
        place / name,
        max_pairs=16,
        max_steps=4,
        batch_size=2,
        save_steps=2,
        seed=1,
        callbacks=callbacks,
    )


# %%
whole = short_run("whole")
try:
    short_run("interrupted", [Unplugged()])
except KeyboardInterrupt:
    print("unplugged at step 3; on disk:", sorted(p.name for p in (place / "interrupted").glob("checkpoint-*")))
again = short_run("interrupted")
a, b = (load_file(done.folder / "adapter_model.safetensors") for done in (whole, again))
assert all(torch.equal(a[name], b[name]) for name in a)
print(f"{len(a)} tensors, equal to the last bit")

# %% [markdown]
# ## 5 The same cell, 7 billion parameters
#
# On a GPU with the memory for it, the recipe `paper-7b` runs the paper's settings on PKU-SafeRLHF-30K (27,000 pairs,
# licence CC BY-NC 4.0, fetched from the hub, never shipped here). Everywhere else this cell prints what it would do, and how
# it differs from the paper.

# %%
import tempfile

from safedpo.lm import train
from safedpo.lm.training import recipes

print(recipes.__doc__)
print(recipes.RECIPES["paper-7b"])
roomy = torch.cuda.is_available() and torch.cuda.get_device_properties(0).total_memory > 75e9
if roomy and not FAST:
    train(**recipes.RECIPES["paper-7b"], output_dir=f"{tempfile.mkdtemp()}/paper-7b")
else:
    print("No GPU with 75 GB here: not run.")

# %% [markdown]
# ## Recap
#
# $$
# \begin{aligned}
# \text{one loss} \quad & -\log \sigma(m - \Delta I), \quad
# m = \beta \left[ \log \frac{\pi(y_w)}{\pi_{\mathrm{ref}}(y_w)}
# - \log \frac{\pi(y_l)}{\pi_{\mathrm{ref}}(y_l)} \right] \\
# \text{LoRA} \quad & W x + \tfrac{\alpha}{r} B A x, \quad \text{adapter off is the reference} \\
# \text{step 0} \quad & (1 - f) \log 2 + f \, \mathrm{softplus}(\Delta)
# \end{aligned}
# $$
#
# **What we have not shown.** That this carries over to large models, open-ended requests or hostile users: the scorers
# here know the data's own hazards, and the requests of the test set are new wordings of known ones. What $\Delta$ does
# beyond T: that is notebook 08. And no number here is a claim that any model is safe.

# %%
progress("07")

# %% [markdown]
# **References.** SafeDPO, arXiv 2505.20065, sections 3.3 and 5.1. LoRA: arXiv 2106.09685. DPO: arXiv 2305.18290.
