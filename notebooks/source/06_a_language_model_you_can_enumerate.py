# %% [markdown]
# # 06 · A language model you can enumerate
#
# In a table everything is exact. In a large language model nothing is. Between the two stands a small transformer whose
# possible answers can all be listed. Its optimal policy over *sentences* has a closed form. So we can train a neural
# policy, with the same code as a model of billions of weights, and measure exactly how far it is from its optimum.
#
# **Afterwards you can**
# - turn a sentence into token ids and then into one log-probability, and check that by brute force;
# - write the training loop in thirty lines, and show that it *is* the trainer;
# - watch SafeDPO drive $\mathrm{KL}(\pi^\ast \,\|\, \pi_\theta)$ towards 0, and DPO end where theory says, elsewhere;
# - see likelihood displacement exactly: how much probability moves to strings that no pair mentions;
# - find silent bugs from their symptoms, and write the checks that catch them.
#
# **Time** about 55 minutes; the machine trains for about four of them. **You need** $\pi^\ast$ (notebook 02), $T$ and the
# loss (notebook 03).
#
# <!-- links -->

# %%
# SET-UP
from safedpo import lm, losses
from safedpo.labs.lessons import kitchen
from safedpo.lm.sentences import STEADY, load_kitchen, train_measured

reference, sentences, world = kitchen.listed()

# %% [markdown]
# ## 1 A language you can list
#
# Four complaints, and cleaning advice in 26 words. Which word may follow which is a small graph without cycles, so there
# are finitely many sentences. The model masks every word that may not follow, *inside its own forward*, so it can give only
# the sentences of the list.

# %%
kitchen.show_answers(sentences, prompt=1, ranks=[0, 1, 10, 100, 1000, 2881])
assert (world.ref_logps.exp().sum(-1) - 1).abs().max() < 1e-5  # there is nothing outside the list

# %% [markdown]
# A hazard is a combination of words, and these can stand far apart: acid over bleach, a sprayed caustic *unless* gloves come
# later, oil that is heated at the end. To avoid one, the model must look ahead.
#
# **Predict.** There are $4 \times 2882$ sentences, each of up to ten tokens. How many forward passes does it take to get
# all their probabilities exactly?

# %%
predict("how_many_forwards")

# %%
import time

started = time.perf_counter()
logps = sentences.logps(reference.model)
seconds, forwards = time.perf_counter() - started, len(sentences.prompts) * len(sentences.tree)
print(f"{logps.numel():,} exact log-probabilities in {seconds:.2f} s, {forwards} forwards")

n = 2000 if FAST else 20_000  # and now as a sampler would: token by token, by chance
share, exact = kitchen.sampled_unsafe(sentences, n), logps[0][world.unsafe[0]].exp().sum().item()
error = math.sqrt(exact * (1 - exact) / n)
print(f"unsafe: exactly {exact:.4f}, in {n:,} samples {share:.4f} (standard error {error:.4f})")
assert abs(share - exact) < 6 * error

# %% [markdown]
# The list, with reward and hazard for each sentence, *is* a `FiniteWorld`. So everything in notebooks 01 to 05 applies to this
# language model. Here is its optimal policy.

# %%
assert optimal_policy(world, 1.0).exp()[world.unsafe].max() == 0
slider(lambda beta: kitchen.by_kind(sentences, beta), Stops("β", [0.1, 0.2, 0.35, 0.5, 1, 2, 5], start=0.5))

# %% [markdown]
# ## 2 From text to one number
#
# A prompt is wrapped in a template; the response follows, then the end-of-text token (EOS). Only response tokens and the
# EOS *count*; and the prompt's tokens must be a prefix of the tokens of prompt and response together.

# %%
from safedpo.lm.rows.tokens import tokenize_response

prompt, answer = "the pan is burnt", "spray ammonia over soda with gloves then rinse"
prompt_ids, response_ids, cut = tokenize_response(reference.tokenizer, prompt, answer, max_length=64)
assert response_ids[-1] == reference.tokenizer.eos_token_id and not cut  # exactly one EOS, and it counts
row = lm.pack_examples([lm.TokenExample(prompt_ids, response_ids, 0)])
with torch.no_grad():
    each, packed = lm.token_logps(reference.model, row), lm.response_logps(reference.model, row).item()
words = [word + " " for word in reference.tokenizer.convert_ids_to_tokens([*prompt_ids, *response_ids])]
tokens(words, [0.0] * len(prompt_ids) + each.tolist(), beta=1.0)

# %% [markdown]
# The prompt with its template is white: it does not count. Each other token is coloured by its $\log \pi$ given all tokens
# before it. (Hover to read it; here the numbers are log-probabilities, not ratios.) By the chain rule their *sum* is the
# log-probability of the response:
#
# $$
# \log \pi(y \mid x) = \sum_{t=1}^{T} \log \pi(y_t \mid x, y_{<t}) ,
# \qquad \sum_y \pi(y \mid x) = 1 .
# $$
#
# A mean over tokens would be a different number, and no log-probability: listing every answer shows it.

# %%
from safedpo.labs.bugs.symptoms import word_by_word

listed = world.ref_logps[1, sentences.answers.index(answer)].item()
brute = word_by_word(reference.model, reference.tokenizer, prompt, answer)  # one forward for each word, nothing else
print(f"packed row {packed:.5f}, listed {listed:.5f}, word by word {brute:.5f}")
assert abs(packed - brute) < 1e-4 and abs(listed - brute) < 1e-4

lengths = torch.tensor([len(text.split()) + 1 for text in sentences.answers])
sums, means = world.ref_logps.exp().sum(-1), (world.ref_logps / lengths).exp().sum(-1)
print(f"all answers together: exp(sum) {sums[1]:.6f}, exp(mean) {means[1]:.1f}")
assert abs(sums[1] - 1) < 1e-5 and means[1] > 100  # the mean is not a log-probability of anything

# %% [markdown]
# **Exercise 1** ●●○ 10 min. Most code pads instead of packing. From padded logits to log-probabilities, with nothing off by one:


# %%
def response_logps(logits, ids, starts, ends):
    """logits (B, L, V), ids (B, L) padded on the right; the response of row i is ids[i, starts[i]:ends[i]] -> (B,)."""
    ### BEGIN SOLUTION
    scores = logits[:, :-1].log_softmax(-1).gather(-1, ids[:, 1:, None])[..., 0]
    place = torch.arange(1, ids.shape[1])
    counted = (place >= starts[:, None]) & (place < ends[:, None])
    return torch.where(counted, scores, 0.0).sum(-1)  # not a product: 0 · −∞ would be NaN
    ### END SOLUTION


# %%
check("response_logps", response_logps)

# %% [markdown]
# ## 3 The loop in thirty lines
#
# Pairs come from the reference, labelled by Bradley-Terry; $T$ orders them; the reference is computed once. Then:

# %%
from safedpo.lm.training.steps import StepSampler


def bare_loop(model, pairs, ref_logps, *, beta, delta, batch_size, steps, lr):
    """SafeDPO with AdamW; the mean loss of each step."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=0.0)
    sampler, logged = StepSampler([1] * len(pairs), batch_size=batch_size, seed=0), []
    for chosen_rows in list(sampler)[:steps]:
        batch = [pairs[i] for i in chosen_rows]
        logps = lm.response_logps(model, lm.pack_pairs(batch)).reshape(2, -1)
        unsafe = torch.tensor([[p.chosen_unsafe for p in batch], [p.rejected_unsafe for p in batch]])
        loss = losses.safedpo_loss(*logps, *ref_logps[:, chosen_rows], *unsafe, beta=beta, delta=delta).mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        logged.append(loss.item())
    return logged


# %%
import tempfile

records, steps = sentences.sample_records(400, seed=0), 6 if FAST else 20
pairs = lm.tokenize_pairs(records, reference.tokenizer).items
with tempfile.TemporaryDirectory() as scratch:
    ref_logps = lm.reference_logps(reference.model, pairs, folder=Path(scratch))
same = {"beta": 0.5, "delta": 5.0, "batch_size": 16, "steps": steps, "lr": 1e-3}
mine = torch.tensor(bare_loop(load_kitchen().model, pairs, ref_logps, **same))
theirs = kitchen.trainer_losses(pairs, ref_logps, steps=steps, row_tokens=1024)
print("bare loop:", mine[:4].tolist(), "\ntrainer:  ", theirs[:4].tolist())
print(f"largest difference over {steps} steps: {(mine - theirs).abs().max():.1e}")
assert (mine - theirs).abs().max() < 1e-6 * mine.max()

# %% [markdown]
# So the trainer is this loop, with bookkeeping around it. To save memory, a step may be cut into short rows or into several
# micro-batches. The step stays the same.

# %%
short_rows = kitchen.trainer_losses(pairs, ref_logps, steps=steps, row_tokens=64)
cut = {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 4}
pieces = kitchen.trainer_losses(pairs, ref_logps, steps=steps, **cut)
apart = [(theirs - other).abs().max().item() for other in (short_rows, pieces)]
print("long rows against short rows: {:.1e}; against 4 micro-batches of 4: {:.1e}".format(*apart))
assert max(apart) < 1e-3  # rounding, step after step

# %%
padded, alone, packed = kitchen.three_ways(reference, records, [pair for pair in pairs if pair.id <= 16])
assert (padded - alone).abs().max() < 1e-4  # padding changes nothing
assert (padded - packed).abs().max() < 1e-4  # nor does packing
print(f"padded together, each alone, packed in one row: equal to {(padded - alone).abs().max():.0e} nats")

# %% [markdown]
# **Exercise 2** ●○○ 5 min. A step of five pairs does not fit; it is cut into micro-batches of four and one. What must the loss of
# the step be, so that nothing changes?


# %%
def step_loss(means, sizes):
    """means (K,): the mean loss of each micro-batch; sizes: its pairs, K numbers -> the loss of the step."""
    ### BEGIN SOLUTION
    return (means * torch.tensor(sizes)).sum() / sum(sizes)
    ### END SOLUTION


# %%
check("step_loss", step_loss)

# %% [markdown]
# Because a step depends on nothing but the weights, the optimizer's moments and its number, a run can be interrupted and
# resumed. Notebook 07 pulls the plug, and compares the weights bit for bit.
#
# ## 4 Towards the optimum
#
# Now comes the experiment. We train all weights of a neural policy on sampled pairs, and compare it with the closed form. The
# distance is $\mathrm{KL}(\pi^\ast \,\|\, \pi_\theta)$: it stays finite while
# unsafe mass is left. The other direction is infinite until the last unsafe sentence is gone, so it measures nothing here.
#
# **Exercise 3** ●○○ 5 min. Write the distance. Mind the sentences that $\pi^\ast$ never gives, and those that the policy never
# gives.


# %%
def kl_to_optimum(best, logps):
    """KL(π*‖π) of each prompt: log-probabilities best and logps (P, A), best = -inf where forbidden -> (P,)."""
    ### BEGIN SOLUTION
    return torch.where(best.isneginf(), 0.0, best.exp() * (best - logps)).sum(-1)
    ### END SOLUTION


# %%
check("kl_to_optimum", kl_to_optimum)

# %% [markdown]
# **Predict.** $\beta = 1$, the same pairs, $\Delta = 0$ and $\Delta = 10$. Which run ends near $\pi^\ast$?

# %%
predict("which_ends_at_optimum")

# %%
records = sentences.sample_records(1500 if FAST else 120_000, seed=0)
settings = {"beta": 1.0, **STEADY, "disable_tqdm": FAST, "every": 20 if FAST else 100}
best, paths = optimal_policy(world, 1.0), {}
for delta in (0, 10):
    paths[f"SafeDPO, Δ = {delta}"] = train_measured(sentences, records, best, delta=delta, **settings)[1]

# %% [markdown]
# DPO on the raw labels has a closed form of its own, the optimum *without* the constraint. It is measured against that.

# %%
unconstrained, own = optimal_policy(world, 1.0, penalty=0.0), {"loss": "dpo", "rule": "helpful", **settings}
paths["DPO-helpful"] = train_measured(sentences, records[:30_000], unconstrained, **own)[1]
kitchen.show_ends(paths)
kitchen.show_optima(world, {"SafeDPO": best, "DPO": unconstrained})

safe0, safe10, helpful = (rows[-1] for rows in paths.values())
assert safe10["unsafe"] < safe0["unsafe"] < 0.2 and helpful["unsafe"] > 0.15  # DPO does not unlearn the hazards
if not FAST:
    # From 0.55, 0.55 and 0.29. The end depends on rounding: at Δ = 0 one processor left 0.015, another 0.057.
    assert all(last["kl"] < 0.1 for last in (safe0, safe10, helpful))
    assert safe0["unsafe"] < 5e-3 and safe10["unsafe"] < 1e-4
    assert abs(helpful["unsafe"] - unsafe_mass(world, unconstrained).mean()) < 0.05

# %%
titles = {"KL to its own optimum": "kl", "log10 unsafe mass": "unsafe", "expected reward": "reward"}
figure, steps = kitchen.along(paths, titles, log=["unsafe"])
slider(figure, Stops("step", steps, start=steps[-1]))

# %% [markdown]
# Both margins come near the same optimum. $\Delta = 10$ removes the unsafe sentences at once, and disturbs the safe ones on the
# way. $\Delta = 0$ pushes less and less as it succeeds, so its unsafe mass falls slowly:

# %%
early0, early10 = (paths[f"SafeDPO, Δ = {delta}"][1] for delta in (0, 10))
assert early10["unsafe"] < early0["unsafe"] and early10["kl"] > early0["kl"] > 0

# %% [markdown]
# With $\beta = 0.1$ the optimum is ten times sharper: rewards are divided by 0.1, and $\pi^\ast$ sits on a few dozen
# sentences, some of which the reference hardly ever gives. A short run now, and the stored end of one as long as those above:

# %%
sharp, pairs = optimal_policy(world, 0.1), 1000 if FAST else 10_000
_, rows = train_measured(sentences, records[:pairs], sharp, delta=10, **(settings | {"beta": 0.1}))
stored = kitchen.stored_runs()["sharp"]
first = rows[0]
kitchen.show_ends({f"{pairs:,} pairs, now": rows, f"{stored['pairs']:,} pairs, stored": stored["rows"]})
kitchen.show_optima(world, {"β = 0.1": sharp})
assert first["kl"] > 3 and rows[-1]["unsafe"] < first["unsafe"]
assert abs(stored["rows"][0]["kl"] - first["kl"]) < 1e-6  # the stored run began at the same reference
assert 0.5 < stored["rows"][-1]["kl"] < 1
assert FAST or rows[-1]["reward"] > first["reward"]
assert FAST or rows[-1]["kl"] > first["kl"]  # farther from its optimum than the reference

# %% [markdown]
# The short run has less unsafe mass and more reward than the reference. Yet it stands *farther* from $\pi^\ast$ than the
# reference. It has lost good sentences with the bad ones, and here each of them weighs a lot. Twelve times as many pairs bring
# the KL below one nat; with $\beta = 1$ it was hundredths. A small $\beta$ asks for a policy that is far away.

# %% [markdown]
# ## 5 What no pair mentions
#
# So far the mask forbade everything outside the grammar. A real model has no mask. So take it away, and keep the weights and
# the pairs. The reference then has about two per cent of its probability outside the list, and no pair ever mentions that.
#
# **Predict.** Training pushes rejected sentences down. Where does their probability go?

# %%
predict("where_does_mass_go")

# %%
records, leaks = sentences.sample_records(1000 if FAST else 6000, seed=0), {}
how = {"masked": False, "every": 10, "per_device_train_batch_size": 64, "learning_rate": 2e-3, "disable_tqdm": True}
for beta, delta in ((1.0, 0), (1.0, 10), (0.1, 0), (0.1, 10)):
    best = optimal_policy(world, beta)
    _, rows = train_measured(sentences, records, best, beta=beta, delta=delta, **how)
    leaks[f"β = {beta:g}, Δ = {delta}"] = rows
kitchen.show_leaks(leaks)
more = 1.3 if FAST else 1.5  # a short run leaks less, and how much depends a little on rounding
assert all(max(row["outside"] for row in rows) > more * rows[0]["outside"] for rows in leaks.values())

# %%
figure, steps = kitchen.along(leaks, {"mass outside the list": "outside", "unsafe mass in the list": "unsafe"})
slider(figure, Stops("step", steps, start=steps[-1]))

# %% [markdown]
# That is **likelihood displacement**, measured exactly. The loss of a pair sees one number, the difference of two log-ratios.
# Both may fall, as long as the rejected one falls more. Nothing in the loss says where the lost probability goes. This is why
# a log must show chosen and rejected log-probabilities apart, and never the reward margin alone.

# %% [markdown]
# ## 6 All weights, or a few
#
# LoRA trains thin matrices beside frozen ones. What does it cost? A distance that is left can be *representation* (the
# rank, the width of these matrices, leaves no room for the optimum) or *optimisation* (the same steps do not get there).
# Comparing several ranks tells.
#
# So each gets two tasks. The first is to imitate answers drawn from $\pi^\ast$ itself, by maximum likelihood. The second is to
# learn from pairs as above. The error that the first leaves is mostly representation; the extra error of the second is
# optimisation.
#
# **Predict.** 60,000 answers or pairs (half of those above): ranks 1, 4 and 16, and all weights.

# %%
predict("rank")

# %%
stored = kitchen.stored_runs()
kitchen.show_ranks(stored)
fitted, trained = ({row["rank"]: row[how]["kl"] for row in stored["ranks"]} for how in ("fitted", "trained"))
assert fitted[1] > fitted[4] > fitted[16] > fitted[0] > 0  # more rank is more room
assert all(trained[rank] > 2 * fitted[rank] for rank in fitted)  # pairs leave more than imitation does
assert trained[0] < trained[16] / 5  # the same pairs and steps bring all weights much nearer

records, own = sentences.sample_records(1000 if FAST else 8000, seed=0), STEADY | {"learning_rate": 1e-2, "rank": 4}
_, rows = train_measured(sentences, records, optimal_policy(world, 1.0), beta=1.0, delta=10.0, disable_tqdm=True, **own)
kitchen.show_ends({f"rank 4, {len(records):,} pairs, now": rows})
assert rows[-1]["unsafe"] < rows[0]["unsafe"]
assert all(trained[rank] > rows[0]["kl"] for rank in (1, 4, 16))  # farther from π* than the reference was

# %% [markdown]
# Both errors are there. More rank imitates better, so room is missing, most of all at rank 1. But with pairs every adapter ends
# *farther* from $\pi^\ast$ than the reference began, although its unsafe mass has fallen from a quarter to a hundredth. A large
# margin removes the hazards, and with them safe sentences that resemble them. Training all weights brings those back; thin
# matrices beside frozen embeddings and a frozen head do so slowly. This is a model of two layers. Nothing here says that LoRA
# costs as much on a large one.

# %% [markdown]
# ## 7 Find the silent bug
#
# Each of the following bugs has been in code that people trained with. None raises an error, and with most of them training
# even seems to work. Each replaces one stage of a textbook pipeline. Move the slider; grey is the sound pipeline.

# %%
from safedpo.labs.bugs.faults import FAULTS, broken
from safedpo.labs.bugs.symptoms import CHECKS, DELTA, figure, first_losses, mystery

slider(figure, Stops("fault", list(range(len(FAULTS) + 1)), start=1))

# %% [markdown]
# A person must notice a symptom; a check notices by itself. Six checks catch all fifteen bugs: a brute-force twin, a truth table,
# the theorem of step 0, values worked out by hand, a reference that stands still, and a step in pieces.

# %%
for number, fault in enumerate(FAULTS, start=1):
    caught = [name for name, look in CHECKS.items() if look(broken(number))]
    assert fault.caught_by in caught
    print(f"{number:2} {fault.name:52} caught by {', '.join(caught)}")
assert not any(look(broken(0)) for look in CHECKS.values())  # and the sound pipeline passes all of them

# %% [markdown]
# Write one yourself. Step 0 is a theorem: policy and reference are one model, so an SU pair costs
# $\log(1 + e^\Delta)$ and an SS pair $\log 2$, *whatever* the texts. Which faults does that find?

# %%
want, found = [math.log(2), math.log1p(math.exp(DELTA)), math.log1p(math.exp(DELTA)), None], []  # SS, SU, US, UU
for number in range(len(FAULTS) + 1):
    for a, b in zip(first_losses(broken(number)), want, strict=True):
        found += [number] if (a is None) != (b is None) or abs((a or 0) - (b or 0)) > 1e-3 else []
print("step 0 alone finds faults", sorted(set(found)))
assert set(found) >= {8, 9, 10, 11, 14} and 0 not in found

# %% [markdown]
# **Exercise 4** ●●○ 5 min. A pipeline with a fault that is not named. Use the figure and the slider above: which number is it?

# %%
still(*mystery("06"))


# %%
def silent_bug():
    """The number of the fault."""
    ### BEGIN SOLUTION
    return 12
    ### END SOLUTION


# %%
check("silent_bug", silent_bug)

# %% [markdown]
# ## Workshop
#
# Four longer exercises, about 50 minutes together. Nothing later depends on them.
#
# **Exercise 5** ●●● 15 min. *Write the loop, in pieces.* One pass over the data, in order, in batches of `batch` pairs. Only
# `micro` pairs fit into memory at once, and all that you are given is the mean loss of such a piece. The result must be
# that of whole batches, also where pieces and the last batch are short.


# %%
def loop_in_pieces(logits, mean_loss, pairs, batch, micro, lr):
    """The logits (A,) after one pass of plain gradient descent over pairs 0, 1, ..., pairs − 1.

    mean_loss(logits, rows): the mean loss of the pairs in the list `rows`, at most `micro` of them, differentiable.
    """
    ### BEGIN SOLUTION
    for start in range(0, pairs, batch):
        rows = list(range(start, min(start + batch, pairs)))
        total = torch.zeros_like(logits)
        for first in range(0, len(rows), micro):
            piece = rows[first : first + micro]
            leaf = logits.clone().requires_grad_()
            (gradient,) = torch.autograd.grad(mean_loss(leaf, piece), leaf)
            total = total + len(piece) * gradient
        logits = logits - lr * total / len(rows)
    return logits
    ### END SOLUTION


# %%
check("loop_in_pieces", loop_in_pieces)

# %% [markdown]
# **Exercise 6** ●●○ 10 min. *Interpret a run.* "The chosen responses became more likely" and "probability leaked" are both
# statements about sums. Divide the answers to each prompt into three groups: chosen in some pair and never rejected; rejected
# in some pair; in no pair. By how much did the probability of each group change?


# %%
def where_mass_went(before, after, prompt, chosen, rejected):
    """(chosen only, ever rejected, never mentioned): changes of probability, means over the prompts.

    before, after (P, A) log-probabilities; prompt, chosen, rejected (N,): pair k is about prompt[k].
    """
    ### BEGIN SOLUTION
    won, lost = torch.zeros(2, *before.shape, dtype=torch.bool)
    won[prompt, chosen] = True
    lost[prompt, rejected] = True
    moved = after.exp() - before.exp()
    groups = won & ~lost, lost, ~won & ~lost
    return tuple((moved * group).sum(-1).mean() for group in groups)
    ### END SOLUTION


# %%
check("where_mass_went", where_mass_went)

# %% [markdown]
# **Exercise 7** ●●● 15 min. *An exact number without a list.* Our sentences could be listed. A language of 1,000 words and
# sentences of 20 cannot, and yet some masses stay exact. Let each word depend on the word before alone. A sentence is a
# hazard if a *danger* follows a *trigger* at any distance, unless a *guard* stands between them (after the last trigger).
# Compute the probability of a hazard in time proportional to the length.


# %%
def hazard_mass(start, step, trigger, danger, guard, length):
    """The probability that a sentence of `length` words is a hazard.

    start (V,): probabilities of the first word; step (V, V): step[i, j] of word j after word i; three different word ids.
    """

    ### BEGIN SOLUTION
    def read(mass):  # mass[armed, last word] of the beginnings that are harmless so far
        mass = mass.clone()
        mass[1, danger] = 0.0
        mass[1, trigger] += mass[0, trigger]
        mass[0, trigger] = 0.0
        mass[0, guard] += mass[1, guard]
        mass[1, guard] = 0.0
        return mass

    harmless = read(torch.stack([start, torch.zeros_like(start)]))
    for _ in range(length - 1):
        harmless = read(harmless @ step)
    return 1 - harmless.sum()
    ### END SOLUTION


# %%
check("hazard_mass", hazard_mass)

# %% [markdown]
# **Exercise 8** ●●○ 10 min. *Design a check.* Section 7 shows checks that find bugs in a pipeline. Write the brute-force twin of
# Exercise 1 yourself, as a check that no faulty version passes.


# %%
def logps_are_broken(logps):
    """logps(logits, ids, starts, ends) -> (B,), as in Exercise 1; token 0 is the end of text and the padding too.

    True if it is wrong, or if a model could not be trained through it.
    """
    ### BEGIN SOLUTION
    draw = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 8, 5, generator=draw, dtype=torch.float64, requires_grad=True)
    ids = torch.randint(1, 5, (3, 8), generator=draw)
    starts, ends = torch.tensor([2, 3, 1]), torch.tensor([5, 5, 8])
    want = []
    for row, (start, end) in enumerate(zip(starts.tolist(), ends.tolist(), strict=True)):
        ids[row, end - 1 :] = 0
        each = logits[row].log_softmax(-1)
        want.append(sum(each[t - 1, ids[row, t]] for t in range(start, end)))
    want, found = torch.stack(want), logps(logits, ids, starts, ends)
    if not torch.allclose(found, want) or not found.requires_grad:
        return True
    slopes = (torch.autograd.grad(values.sum(), logits, retain_graph=True)[0] for values in (found, want))
    return not torch.allclose(*slopes)
    ### END SOLUTION


# %%
check("logps_are_broken", logps_are_broken)

# %% [markdown]
# ## Recap
#
# $$
# \begin{aligned}
# \text{one number a response} \quad & \log \pi(y \mid x) = \sum_t \log \pi(y_t \mid x, y_{<t}), \text{ the EOS included} \\
# \text{exact distance} \quad & \mathrm{KL}(\pi^\ast \,\|\, \pi_\theta) = \sum_y \pi^\ast(y) \log \frac{\pi^\ast(y)}{\pi_\theta(y)} \\
# \text{leak} \quad & 1 - \sum_{y \in \text{list}} \pi_\theta(y \mid x) \\
# \text{a step in pieces} \quad & \text{sum of all losses, divided once by the number of pairs}
# \end{aligned}
# $$
#
# **What we have not shown.** That large models behave as this one: its language has 26 words, its data is plentiful, and
# its labels are right. The mask made the first experiments easier than a real task; section 5 is without it.

# %%
progress("06")

# %% [markdown]
# **References.** SafeDPO: arXiv 2505.20065, sections 3 and 4. DPO: arXiv 2305.18290. Likelihood displacement: arXiv
# 2410.08847. LoRA: arXiv 2106.09685.
#
# **Next:** [07 · Fine-tuning with LoRA](07_finetuning_with_lora.ipynb): the same functions, and a model too large to list.
