# %% [markdown]
# # 07 · Fine-tuning with LoRA
#
# The same two functions, `order_pairs` and `safedpo_loss`, that moved a table of six answers now move a language
# model with 135 million parameters. Nothing is exact any more, so everything is measured. In a few minutes on a
# laptop, a model that gives hazardous household advice nearly stops doing so. What that costs in help is measured too.
#
# **Afterwards you can**
# - read a data report: what the transformation $T$ keeps, swaps and drops, before any training;
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

import tempfile

from safedpo import read_records
from safedpo.evaluate import Decoding, generate, judge, scorer_for
from safedpo.evaluate.results import stored_results
from safedpo.files import shipped
from safedpo.household import LOOKALIKES, load, optimal_values, requests_of
from safedpo.labs.lessons import finetuning
from safedpo.labs.lessons.ladder import climb
from safedpo.labs.live.curves import LiveCurves, closing_curves
from safedpo.lm import RECIPES, load_model, memory_estimate, train
from safetensors.torch import load_file

place, recipe = Path(tempfile.mkdtemp()), RECIPES["household"] | {"max_pairs": 16 if FAST else 300}

# %% [markdown]
# ## 1 The data, before anything else
#
# `data/household` is preference data in the schema of PKU-SafeRLHF, safe to read aloud: everyday requests, answered
# well, uselessly, or with the kind of dangerous shortcut one hears at home. A record has a prompt, two responses, two
# safety bits, and which response the raters preferred. (The raters are simulated: the label is drawn by Bradley-Terry from a
# known reward, which likes shortcuts.)

# %%
records = read_records(load("train"))
finetuning.show_swapped_pair(records)

# %% [markdown]
# The raters preferred the dangerous one. That is a US pair (preferred response unsafe, other safe), and $T$ swaps it. Here is
# how many pairs of each group there are:

# %%
counts = records.counts()
print(counts)
assert counts["SS"] + counts["SU"] + counts["US"] + counts["UU"] == counts["rows"]  # no row is lost in silence
assert counts["kept"] == counts["rows"] - counts["UU"] and counts["swapped"] == counts["US"]
assert counts["US"] > counts["SU"]  # in most mixed pairs the unsafe response was the one preferred

# %% [markdown]
# So plain DPO on these labels should not make the model safer: in most mixed pairs it is taught the unsafe response.

# %% [markdown]
# ## 2 What it costs, before loading
#
# LoRA (low-rank adaptation) leaves the weight $W$ of each linear layer alone and trains two thin matrices beside it,
#
# $$
# W x \;\longrightarrow\; W x + \frac{\alpha}{r} \, B A x , \qquad A \in \mathbb{R}^{r \times n_{\mathrm{in}}}, \;
# B \in \mathbb{R}^{n_{\mathrm{out}} \times r} , \qquad B = 0 \text{ at first} .
# $$
#
# With $B = 0$ the policy *is* the reference, to the last bit. And "adapter off" always is the reference, so no second model
# is needed in memory.
#
# **Exercise 1** ●○○ 5 min. How many numbers does LoRA train?


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
estimate = memory_estimate("smollm2-135m", r=4, dtype="float32")
print(estimate)
assert estimate.trainable < 0.01 * estimate.parameters  # under one in a hundred
assert estimate.optimizer < 0.05 * estimate.weights  # Adam's moments are kept for the adapter alone

# %% [markdown]
# How large must the rank $r$ be? The shipped adapter for $\Delta = 10$ has $r = 4$. By its singular values one can tell how
# much of its update $BA$ the best matrices of a lower rank would keep. Move the rank.

# %%
shipped_update = finetuning.kept_of_update(
    load_file(shipped("data") / "adapters/sweep/delta-10/adapter_model.safetensors")
)
slider(lambda rank: finetuning.kept_at(shipped_update, rank), Stops("rank", [0, 1, 2, 3, 4], start=1))

# %% [markdown]
# Over all layers together, one direction a layer holds three quarters of the update, by squared length. That says how the
# *weights* moved. What a policy of rank 1 would answer is another question; no such run is stored.

# %%
assert 0.7 < shipped_update["all layers"][1] < 0.8 and min(one[2] for one in shipped_update.values()) > 0.8

# %% [markdown]
# ## 3 One run, from beginning to end
#
# ### The reference, and how it responds
#
# As in the paper, the reference is a model fine-tuned on good and bad responses alike. So it can be unsafe, and it is. (Its
# responses were drawn by the data's generator, apart from the pairs. It is SmolLM2-135M with a shipped adapter merged in;
# `data/adapters/household-sft` has the command.)

# %%
reference = load_model("smollm2-135m-household")
print(f"{reference.source}: {reference.dtype_reason}")

# %%
prompts = list(dict.fromkeys(r.prompt for r in read_records(load("test")).records))[:: 9 if FAST else 3]
decoding = Decoding(samples=1, greedy=True, seed=0)
before = generate(reference.model, reference.tokenizer, prompts, decoding)
judged_before = judge(before, scorer_for(prompts))
print(f"{len(prompts)} held-out prompts, one sampled response each")
print("\n".join(f"  {name:13} {interval}" for name, interval in judged_before.metrics.items()))

# %% [markdown]
# The numbers in brackets are 95 % intervals over prompts. With so few prompts they are wide, as they should be.

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
# If a run starts anywhere else, something is wrong: another template, a reference in another dtype, dropout, a safety flag
# with the wrong sign. That is why the trainer checks it every time.
#
# **Exercise 2** ●○○ 5 min. Write it.


# %%
def step_zero_loss(equal, mixed, delta):
    """equal: pairs of equal safety, mixed: safe-over-unsafe pairs after T -> the mean loss at the reference."""
    ### BEGIN SOLUTION
    dear = delta + math.log1p(math.exp(-delta))  # log(1 + e^Δ) for any Δ >= 0
    return (equal * math.log(2) + mixed * dear) / (equal + mixed)
    ### END SOLUTION


# %%
check("step_zero_loss", step_zero_loss)

# %% [markdown]
# ### Train
#
# One call, with the settings of the recipe `household` but fewer pairs than its 500.
# `max_pairs` draws pairs from those that $T$ keeps; the reference's log-probabilities are computed once, for these
# pairs only, and kept on disk under a fingerprint of weights, template and tokens.

# %%
live = LiveCurves()
live.widget

# %%
print(recipe)
run = train(**recipe, data=load("train"), output_dir=place / "safedpo", delta=10.0, seed=0, callbacks=[live])

# %% [markdown]
# The line "step 0" above is the theorem, measured. Here it is from the run's own file, computed once more by hand:

# %%
pairs, step_zero = finetuning.pairs_seen(run.log), finetuning.step_zero(run.folder)
equal, mixed = pairs["SS"], pairs["SU"] + pairs["US"]
by_hand = (equal * math.log(2) + mixed * math.log1p(math.exp(10.0))) / (equal + mixed)
print(f"{equal} pairs of equal safety, {mixed} safe-over-unsafe: {by_hand:.4f}; run.json says {step_zero}")
assert abs(by_hand - step_zero["predicted"]) < 1e-4
assert pairs["UU"] == 0  # T dropped every pair of two unsafe responses before batching

# %% [markdown]
# **Predict.** The loss asks for a larger *difference*. What happens to the log-probability of the chosen response?

# %%
predict("chosen_logp")

# %%
still(*curves(*closing_curves(run.log)))

# %%
first, last = run.log[0], run.metrics
assert FAST or last["rewards/margins"] > first["rewards/margins"]  # the gap grows: that is what the loss asks for
change = {side: last[f"rewards/{side}"] / recipe["beta"] for side in ("chosen", "rejected")}  # in nats
print({side: f"{nats:+.1f} nats against the reference" for side, nats in change.items()})
assert FAST or change["chosen"] > change["rejected"]

# %% [markdown]
# ### Before and after
#
# **Predict.** What does the policy do where the reference gave hazardous advice?

# %%
predict("after_training")

# %%
judged_after = judge(generate(run.policy, run.tokenizer, prompts, decoding), scorer_for(prompts))
finetuning.show_before_and_after(judged_before.samples, judged_after.samples)

# %%
rows = finetuning.metric_rows({"reference": judged_before, "SafeDPO, this run": judged_after})
still(*intervals(rows))

# %% [markdown]
# The same on all test prompts, with 1,000 pairs, three seeds, and two sampled responses each, beside plain DPO on the helpful
# labels; stored in `data/results/household` with the commands that made it. (Over-refusal also asks requests that only *look*
# unsafe; the other columns leave them out. Notebook 08 looks at them.)

# %%
results, margin_10, margin_0 = stored_results(), "safedpo-delta-10", "safedpo-delta-0"
table = {row.name: row.values for row in results.table()}
finetuning.show_table(results)
harm, help_ = ({name: sum(row[m]) / len(row[m]) for name, row in table.items()} for m in ("harm", "helpfulness"))
each = {name: row["harm"] for name, row in table.items()}
assert all(len(each[name]) == 3 for name in (margin_10, margin_0, "dpo-helpful"))
assert harm[margin_10] <= 0.03 < 0.25 <= harm["reference"] <= harm["dpo-helpful"]  # safe, and plain DPO is no safer
assert harm[margin_10] < harm[margin_0] < harm["reference"]  # T alone goes part of the way
assert help_["reference"] + 0.04 < help_[margin_10] <= help_[margin_0]  # more help than before, less than T alone
assert abs(help_[margin_10] - help_["dpo-helpful"]) < 0.03  # and as much as plain DPO's
assert max(each[margin_10]) < min(each[margin_0]) and max(each[margin_0]) < min(each["dpo-helpful"])  # seed by seed

# %% [markdown]
# The numbers in brackets are the seeds. DPO on the helpful labels is no safer than its reference: in most mixed pairs its
# labels prefer the hazard. $T$ alone, without a margin, removes nearly half of the harm and helps more than the reference does.
# The margin $\Delta = 10$ removes nearly all the harm and keeps most of the help that $T$ had gained: it helps about as much as
# plain DPO. The theorem says that all these margins have the same optimum. It does not say when a run gets there: **path, not
# destination**.
#
# What the margin costs is in the logs of the stored runs. The reward margin $m$ of the safe-over-unsafe pairs has reached
# $\Delta$ and more. But the *chosen* responses, which keep their probability without a margin, lose with it. To make one
# response so much less likely than another, the run makes both less likely (likelihood displacement). Where their probability
# goes is not measured here; notebook 06 measures it in a model whose answers can be listed. The column `broken` may show a part
# of it: the share of sentences that are neither a line of the data nor close to one. That is one in twenty for the reference,
# about as many without a margin, and half as many again at $\Delta = 10$.

# %%
names = ("SS/rewards/margins", "SU/rewards/margins", "US/rewards/margins", "rewards/chosen")
ends = {name: finetuning.late(results.log(name), names) for name in (margin_0, margin_10)}
for name, end in ends.items():
    print(name, {quantity: f"{value:+.1f}" for quantity, value in end.items()})
low, high = ([ends[d][f"{group}/rewards/margins"] for group in ("SU", "US")] for d in (margin_0, margin_10))
assert min(high) > 10 > 5 > max(low)  # Δ drives them apart,
chosen = [ends[margin]["rewards/chosen"] for margin in (margin_0, margin_10)]
assert abs(chosen[0]) < 0.5 and chosen[1] < -2  # and the chosen ones fall
broken = {name: sum(row["broken"]) / len(row["broken"]) for name, row in table.items()}
assert abs(broken["reference"] - 1 / 20) < 0.01 and broken[margin_0] < broken["reference"] + 0.01
assert min(table[margin_10]["broken"]) > broken["reference"] and 1.3 < broken[margin_10] / broken["reference"] < 1.8

# %% [markdown]
# Numbers are one thing, sentences another. These are twenty of the test prompts, drawn by a fixed seed and not by eye, each with
# the first sampled response of the reference and of $\Delta = 10$, as they are. In brackets: what the scorer found.

# %%
assert finetuning.show_drawn(results) == 20

# %% [markdown]
# Did it need all 1,000 pairs? The same runs were also measured earlier. Move the training budget: a dot is the mean of three
# seeds, and its bar reaches from the lowest seed to the highest.

# %%
budgets = Stops("training budget in pairs", results.budgets)
slider(lambda pairs: intervals(finetuning.at_budget(results, pairs), confidence="lowest-to-highest-seed"), budgets)

# %% [markdown]
# With the margin at least four fifths of the reference's harm is gone after 300 pairs, in every seed. Without it, 1,000 pairs
# do not take away half of it in the mean, and every seed of $T$ alone is more harmful at the end than every seed of
# $\Delta = 10$ after 300.

# %%
early, alone = (results.values("harm", delta, pairs=pairs) for delta, pairs in ((10, 300), (0, 1000)))
start = results.reference["harm"]["value"]
assert max(early) < start / 5 < min(alone) and sum(alone) / len(alone) > start / 2

# %% [markdown]
# And if a run is stopped earlier? The stored runs show three points only. On the six answers of notebook 02 training is exact,
# with the same $\beta$ and every pair in each step. Move the cap.

# %%
six, caps = six_answers(), [0, 1, 3, 10, 30, 100, 300, 1000, 3000]
exact = fit(six, population(six).transform(), beta=2.0, delta=[0.0, 10.0], steps=caps[-1], lr=0.3, record=caps)


def stopped(steps):
    without, with_margin = exact.logps[caps.index(steps), 0, :, 0]  # the policies at Δ = 0 and at Δ = 10
    return bars(
        six, {"reference": six.ref_logps, "Δ = 0": without, "Δ = 10": with_margin}, f"Stopped after step {steps}"
    )


slider(stopped, Stops("step cap", caps, start=10))

# %% [markdown]
# One step with the margin leaves less unsafe mass than a hundred steps without it. In the end both come to the same optimum.

# %%
without, with_margin = exact.path.unsafe_mass[:, 0, :, 0].T
assert falling(without) and falling(with_margin) and with_margin[caps.index(1)] < without[caps.index(100)]
assert exact.path.tv[-1].max() < 0.005  # of both, to the safe optimum

# %% [markdown]
# The runs of the language model use $\beta = 2$ too, not the paper's 0.1. With 0.1 the same $\Delta$ asks for a log-ratio gap
# of $\Delta / \beta = 100$ nats instead of 5. On validation such a short run with such large steps broke nine of ten sentences.
# (The margin is not the only cause: with $\beta = 0.1$ $T$ alone, at a larger rate, broke two of three; see notebook 08.)
# The settings were chosen by a written rule on other prompts, the validation split: `data/results/household/README.md` has the
# rule and lists the trials. Notebook 08 shows how much $\Delta$ is enough, and what it costs.

# %% [markdown]
# Those responses were drawn at temperature 1, as the theory asks: each token from the whole distribution. The *greedy*
# response, the most probable token at each step, is what most demonstrations show:

# %%
finetuning.show_table(results, greedy=True)
greedy = {row.name: {m: sum(v) / len(v) for m, v in row.values.items()} for row in results.table(greedy=True)}
assert all(greedy[name]["helpfulness"] > help_[name] + 0.1 for name in ("reference", margin_0, margin_10))
assert greedy["reference"]["broken"] < 0.001 and greedy[margin_10]["broken"] < broken[margin_10] / 4
assert greedy["reference"]["harm"] < harm["reference"] / 4 and greedy[margin_10]["harm"] < 0.01
assert 0.1 < 1 - greedy[margin_10]["helpfulness"] / greedy["reference"]["helpfulness"] < 0.2
assert greedy[margin_0]["helpfulness"] > greedy["reference"]["helpfulness"] - 0.01

# %% [markdown]
# Read greedily the reference, $T$ alone and $\Delta = 10$ are far more helpful, and their sentences are nearly all whole. What
# breaks in them, breaks in the draws. (Beyond 10 greedy sentences break too.)
# The reference looks far safer here than it is in draws: drawn, it is unsafe more than four times as often. And the price of
# the margin looks different. In draws $\Delta = 10$ helps more than the reference; greedily it gives up about a seventh of the
# reference's help, and $T$ alone gives up none. The objective of SafeDPO is an expectation over draws, so draws are what the
# theory speaks about. Whoever ships the greedy answer should measure that.
#
# Where does the help in draws come from? Here are the harmless requests and the hazardous ones apart, and the *safe* draws of
# the latter:

# %%
kinds = finetuning.show_help_by_kind(results, ("reference", margin_0, margin_10))
ref, alone, both = (kinds[name] for name in ("reference", margin_0, margin_10))
assert 0.4 * (both["harmless"] - ref["harmless"]) > (help_[margin_10] - help_["reference"]) / 2  # two of five are
assert both["safe draws"] < ref["safe draws"] - 0.03 and abs(alone["safe draws"] - ref["safe draws"]) < 0.03

# %% [markdown]
# Most of what $\Delta = 10$ gains it gains on the harmless requests: there it has learnt to give more helpful steps. On the
# others it gains little. The hazards are nearly gone, but its safe draws help less than the reference's; those of $T$ alone
# help as much. In the exact optimum they would help far more: there the reward moves probability among the safe responses.
#
# **Would a longer run come nearer?** Three more policies are stored: 3,200 pairs, rank 16 and a smaller learning rate,
# the settings that the rule took among the longer ones. Here is what had been wanted of them before they were trained,
# and what was found; and the same for the ten-minute recipe, which stops at 500 pairs.

# %%
longer, quick = (stored_results(shipped("data") / "results" / name) for name in ("household-long", "household-ten"))
finetuning.show_table(longer)
found, in_ten = finetuning.show_goals(longer), finetuning.show_goals(quick, "ten-minute")
assert longer.budgets[-1] == 3200 and len(longer.values("harm", 10)) == 3
assert found["harm"] <= 0.01 and harm[margin_10] > 0.01  # reached, and by the longer run alone
assert help_[margin_10] < found["helpfulness"] < 0.65 and found["broken"] > broken["reference"] > 0.03  # not reached
assert in_ten["helpfulness"] > 0.6 and 0.03 < in_ten["harm"] < 0.05 < in_ten["broken"] < 0.07
_, after = longer.table(greedy=True)
print("greedy:", {metric: after.values[metric] for metric in ("harm", "helpfulness", "broken")})
assert max(after.values["harm"]) < 0.02 and min(after.values["helpfulness"]) > 0.85

# %% [markdown]
# The longer run reaches the goal for harm, and it helps more than the shorter one, greedily too. It misses the goal for
# helpfulness a little and that for broken sentences by far: already the reference, from which every policy starts, breaks more
# of them than that. The ten-minute recipe reaches its goal for helpfulness and misses the other two. No setting that was tried
# on validation stayed below the reference's share; `data/results/household/README.md` lists all trials, with what limits them.

# %% [markdown]
# How far is that from the safe optimum at this $\beta$? For a reference that follows the data exactly its value is known. Ours
# follows them only roughly, so it is a mark to compare with.

# %%
asked = [request for request in requests_of("test") if request.topic != LOOKALIKES]
best = optimal_values(asked, beta=recipe["beta"])
reached = {"Δ = 10": help_[margin_10], "Δ = 0": help_[margin_0], "Δ = 10, longer": found["helpfulness"]}
print({name: f"{value:.3f}" for name, value in reached.items()}, f"the safe optimum: {best.helpfulness:.3f}")
assert best.unsafe == 0 and max(reached.values()) < best.helpfulness - 0.2

# %% [markdown]
# ## 4 Interrupted and resumed
#
# A run that was interrupted resumes when it is started again with the same arguments. It comes to the same weights, bit for
# bit (on a CPU). Here one is stopped in the middle on purpose.

# %%
short = {"max_pairs": 16, "max_steps": 4, "batch_size": 2, "save_steps": 2, "seed": 1}


def short_run(name, *callbacks):
    return train("smollm2-135m-household", load("train"), place / name, **short, callbacks=callbacks)


whole = short_run("whole")
try:
    short_run("interrupted", finetuning.unplugged(step=3))
except KeyboardInterrupt:
    print("unplugged at step 3; on disk:", sorted(p.name for p in (place / "interrupted").glob("checkpoint-*")))
a, b = (load_file(done.folder / "adapter_model.safetensors") for done in (whole, short_run("interrupted")))
assert a and all(torch.equal(a[name], b[name]) for name in a)
print(f"{len(a)} tensors, equal to the last bit")

# %% [markdown]
# ## 5 A bigger machine
#
# The same two functions train bigger models. `climb` knows three steps up, each with its model, its memory, its time and a
# cap. With `RUN = "look"` it prints them and starts nothing. To start one, set `RUN` to its name and run this cell again; on
# Colab choose a GPU first. Results go to a folder that outlives the runtime (on Colab your Drive). After an interruption the
# same cell resumes. `safedpo.lm.training.recipes` lists how the 7B settings differ from the paper's. Their data,
# PKU-SafeRLHF-30K, are fetched from the hub (licence CC BY-NC 4.0).

# %%
RUN = "look"  # or "t4", "24gb", "80gb"
climb(RUN)

# %% [markdown]
# ## Workshop
#
# Four longer exercises, about 40 minutes together. Nothing later depends on them.
#
# **Exercise 3** ●○○ 5 min. *Read the data.* Before any training, count the four groups (named by the response that people
# preferred and the other one), and compute the number that says whether plain DPO would make the model less safe: the
# share of mixed pairs in which the unsafe response was preferred.


# %%
def data_report(better, unsafe):
    """(SS, SU, US, UU, share): better (N,) in {0, 1}; unsafe (N, 2) bool. Some pair is mixed."""
    ### BEGIN SOLUTION
    rows = torch.arange(len(better))
    first, other = unsafe[rows, better], unsafe[rows, 1 - better]
    groups = ~first & ~other, ~first & other, first & ~other, first & other
    ss, su, us, uu = (group.sum() for group in groups)
    return ss, su, us, uu, us / (su + us)
    ### END SOLUTION


# %%
check("data_report", data_report)

# %% [markdown]
# **Exercise 4** ●●○ 10 min. *Predict, then compute.* At the start $B = 0$. Predict which of the two matrices receives no
# gradient in the very first step. Then write a LoRA layer's output and both gradients by hand: with
# $G = \partial \mathcal{L} / \partial y$ given, no autograd.


# %%
def lora_by_hand(x, weight, a, b, scale, upstream):
    """(y, dL/dA, dL/dB) for N rows: x (N, in), weight (out, in), a (r, in), b (out, r), scale = α/r, upstream (N, out)."""
    ### BEGIN SOLUTION
    inner = x @ a.T
    y = x @ weight.T + scale * inner @ b.T
    grad_b = scale * upstream.T @ inner
    grad_a = scale * (upstream @ b).T @ x
    return y, grad_a, grad_b
    ### END SOLUTION


# %%
check("lora_by_hand", lora_by_hand)

# %% [markdown]
# **Exercise 5** ●●● 15 min. *Write a loop that can be unplugged.* Gradient descent with momentum, in which a run that is
# interrupted anywhere and resumed ends at *bitwise* the same weights. You design the checkpoint. (The kit's own trainer is held
# to the same test at every step.)


# %%
def resumable(weights, gradient, lr, momentum, steps, checkpoint=None):
    """(weights, checkpoint) after step number `steps`, counted from the very beginning.

    velocity = momentum · velocity + gradient(weights, step), at first 0; weights = weights − lr · velocity; step = 0, 1, ...
    With a checkpoint, of an earlier call, the run continues from there, whatever `weights` is.
    """
    ### BEGIN SOLUTION
    velocity, first = torch.zeros_like(weights), 0
    if checkpoint is not None:
        weights, velocity, first = checkpoint
    for step in range(first, steps):
        velocity = momentum * velocity + gradient(weights, step)
        weights = weights - lr * velocity
    return weights, (weights.clone(), velocity.clone(), steps)
    ### END SOLUTION


# %%
check("resumable", resumable)

# %% [markdown]
# **Exercise 6** ●●○ 10 min. *Read the curves.* A log has the mean log-ratios, in nats, of the chosen and the rejected responses
# of the safe-over-unsafe pairs, step by step. Write the diagnosis. The first line that applies is the answer:
#
# 1 a value is not finite · 2 the reward margin has fallen by more than 0.01 · 3 it has not risen by more than 0.01 · 4 in the
# second half of the run (from point `len // 2` on) the pairs taught nothing: the weight of their gradient was below 0.05
# throughout · 5 displacement: the margin rose, and yet the chosen responses have become less likely · 0 healthy


# %%
def read_curves(chosen, rejected, beta, delta):
    """The number of the story: two curves (S,) of log π − log π_ref, β, Δ; the first point against the last."""
    ### BEGIN SOLUTION
    if not (chosen.isfinite().all() and rejected.isfinite().all()):
        return 1
    m = beta * (chosen - rejected)
    rise = (m[-1] - m[0]).item()
    if rise < -0.01:
        return 2
    if rise <= 0.01:
        return 3
    weight = torch.sigmoid(delta - m)
    if weight[len(m) // 2 :].max() < 0.05:
        return 4
    return 5 if chosen[-1] < chosen[0] else 0
    ### END SOLUTION


# %%
check("read_curves", read_curves)

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
# **What we have not shown.** That this carries over to large models, open-ended requests or hostile users: the scorers here
# know the data's own hazards, and the requests of the test set are new wordings of known ones. On five requests that it was
# never trained on the reference is hardly helpful, and so is $\Delta = 10$ (`data/results/household/README.md`). What $\Delta$
# does beyond $T$: that is notebook 08. And no number here is a claim that any model is safe.

# %%
progress("07")

# %% [markdown]
# **References.** SafeDPO, arXiv 2505.20065, sections 3.3 and 5.1. LoRA: arXiv 2106.09685. DPO: arXiv 2305.18290.
