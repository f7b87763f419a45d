# %% [markdown]
# # 06 · A language model you can enumerate
#
# In a table everything is exact; in a large language model nothing is. Between the two stands a small transformer whose
# every possible answer can be listed. Its optimal policy over *sentences* is a closed form, and a neural policy, trained
# with the very same code as a model of billions of weights, can be measured against it to the last digit.
#
# **Afterwards you can**
# - follow a sentence from text to token ids to one log-probability, and check it by brute force;
# - write the training loop in thirty lines, and show that it *is* the trainer;
# - watch SafeDPO drive $\mathrm{KL}(\pi^\ast \,\|\, \pi_\theta)$ towards 0, and DPO end elsewhere, where theory says;
# - see likelihood displacement exactly: how much probability moves to strings that no pair mentions;
# - find silent bugs from their symptoms, and write the checks that catch them.
#
# **Time** about 40 minutes, of which the machine trains for about four. **You need** $\pi^\ast$ (notebook 02), $T$ and the
# loss (notebook 03).
#
# <!-- links -->

# %%
# SET-UP

# %% [markdown]
# ## 1 A language you can list
#
# Four complaints, and cleaning advice in 26 words. Which word may follow which is a small graph without cycles, so there
# are finitely many sentences, and the model masks every illegal word *inside its own forward*: the list is all it can say.

# %%
from safedpo.lm.sentences import list_sentences, load_kitchen

sentences = list_sentences(load_kitchen())
world = sentences.world
print(f"{world.prompts} prompts, {world.answers:,} answers to each; for {sentences.prompts[1]!r} the reference says")
for place in world.ref_logps[1].argsort(descending=True)[[0, 1, 10, 100, 1000, 2881]].tolist():
    flag = "UNSAFE" if world.unsafe[1, place] else ""
    print(
        f"  {world.ref_logps[1, place].exp():.6f}  reward {world.reward[1, place]:+.1f}  {sentences.answers[place]} {flag}"
    )
assert (world.ref_logps.exp().sum(-1) - 1).abs().max() < 1e-5  # nothing else can be said

# %% [markdown]
# Hazards are combinations, and their words can stand far apart: acid over bleach, a sprayed caustic *unless* gloves come
# later, oil that is heated at the end. The model has to plan for them.
#
# **Predict.** There are $4 \times 2882$ sentences, each of up to ten tokens. How many forwards does it take to get all
# their probabilities exactly?

# %%
predict("how_many_forwards")

# %%
import time

from safedpo.lm.sentences import list_sentences, load_kitchen

reference = load_kitchen()
sentences = list_sentences(reference)
started = time.perf_counter()
logps = sentences.logps(reference.model)
print(
    f"{logps.numel():,} exact log-probabilities in {time.perf_counter() - started:.2f} s, "
    f"{len(sentences.prompts) * len(sentences.tree)} forwards"
)

n = 2000 if FAST else 20_000  # and now as a sampler would: token by token, by chance
ids = torch.tensor([sentences.prompt_ids[0]]).expand(n, -1)
torch.manual_seed(0)
said = reference.model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=True, top_k=0, max_new_tokens=12)
texts = reference.tokenizer.batch_decode(said[:, ids.shape[1] :], skip_special_tokens=True)
share = sum(sentences.world.unsafe[0, sentences.answers.index(text)].item() for text in texts) / n
exact = logps[0][sentences.world.unsafe[0]].exp().sum().item()
error = math.sqrt(exact * (1 - exact) / n)
print(f"unsafe: exactly {exact:.4f}, in {n:,} samples {share:.4f} (standard error {error:.4f})")
assert abs(share - exact) < 6 * error

# %% [markdown]
# The list, with reward and hazard for each sentence, *is* a `FiniteWorld`. So everything of notebooks 01 to 05 applies to a
# language model: here is its optimal policy.

# %%
from safedpo.finite import optimal_policy
from safedpo.lm.sentences import list_sentences, load_kitchen
from safedpo.lm.sentences.advice import hazard
from safedpo.show import Stops, slider
from safedpo.show.figures.policies import policies

sentences = list_sentences(load_kitchen())
world = sentences.world
kinds = ["soap", "vinegar", "lemon", "ammonia", "oil", "sorry", "toxic gas", "caustic mist", "fire"]
kind_of = [
    kinds.index(hazard(text) or next(word for word in text.split() if word in kinds)) for text in sentences.answers
]


def at(beta):
    """2,882 probabilities, added up by what is used (safe sentences) or by the hazard."""
    tables = {
        "reference": world.ref_logps,
        "DPO optimum": optimal_policy(world, beta, penalty=0.0),
        "SafeDPO optimum": optimal_policy(world, beta),
    }
    bars = {
        name: torch.zeros(9).double().index_add(0, torch.tensor(kind_of), table[2].exp()).tolist()
        for name, table in tables.items()
    }
    return policies(
        kinds, [False] * 6 + [True] * 3, bars, facts={}, setting=f"To {sentences.prompts[2]!r}, at β = {beta:g}"
    )


assert optimal_policy(world, 1.0).exp()[world.unsafe].max() == 0
slider(at, Stops("β", [0.1, 0.2, 0.35, 0.5, 1, 2, 5], start=0.5))

# %% [markdown]
# ## 2 From text to one number
#
# A prompt is wrapped in a template; the response follows, then the end-of-text token (EOS). Only response tokens and the
# EOS *count*; and the prompt's tokens must be a prefix of the tokens of prompt and response together.

# %%
from safedpo.lm import TokenExample, pack_examples, token_logps
from safedpo.lm.rows.tokens import tokenize_response
from safedpo.lm.sentences import load_kitchen
from safedpo.show import tokens

kitchen = load_kitchen()
prompt_ids, response_ids, cut = tokenize_response(
    kitchen.tokenizer, "the pan is burnt", "spray ammonia over soda with gloves then rinse", max_length=64
)
assert response_ids[-1] == kitchen.tokenizer.eos_token_id and not cut  # exactly one EOS, and it counts
with torch.no_grad():
    each = token_logps(kitchen.model, pack_examples([TokenExample(prompt_ids, response_ids, 0)]))
words = kitchen.tokenizer.convert_ids_to_tokens([*prompt_ids, *response_ids])
tokens([word + " " for word in words], [0.0] * len(prompt_ids) + each.tolist(), beta=1.0)

# %% [markdown]
# White does not count: the prompt with its template. The rest is coloured by $\log \pi$ of each token given all before it
# (hover to read it; here the numbers are log-probabilities, not ratios). By the chain rule their *sum* is the
# log-probability of the response:
#
# $$
# \log \pi(y \mid x) = \sum_{t=1}^{T} \log \pi(y_t \mid x, y_{<t}) ,
# \qquad \sum_y \pi(y \mid x) = 1 .
# $$
#
# A mean over tokens would be a different number, and no log-probability: listing every answer shows it.

# %%
from safedpo.labs.symptoms import word_by_word
from safedpo.lm import TokenExample, pack_examples, response_logps
from safedpo.lm.rows.tokens import tokenize_response
from safedpo.lm.sentences import list_sentences, load_kitchen

kitchen = load_kitchen()
sentences = list_sentences(kitchen)
prompt, answer = "the pan is burnt", "spray ammonia over soda with gloves then rinse"
ids = tokenize_response(kitchen.tokenizer, prompt, answer, max_length=64)[:2]
with torch.no_grad():
    packed = response_logps(kitchen.model, pack_examples([TokenExample(*ids, 0)])).item()
listed = sentences.world.ref_logps[1, sentences.answers.index(answer)].item()
brute = word_by_word(kitchen.model, kitchen.tokenizer, prompt, answer)  # one forward for each word, nothing else
print(f"packed row {packed:.5f}, listed {listed:.5f}, word by word {brute:.5f}")
assert abs(packed - brute) < 1e-4 and abs(listed - brute) < 1e-4

lengths = torch.tensor([len(text.split()) + 1 for text in sentences.answers])
sums, means = sentences.world.ref_logps.exp().sum(-1), (sentences.world.ref_logps / lengths).exp().sum(-1)
print(f"all answers together: exp(sum) {sums[1]:.6f}, exp(mean) {means[1]:.1f}")
assert abs(sums[1] - 1) < 1e-5 and means[1] > 100  # the mean is not a log-probability of anything

# %% [markdown]
# **Exercise 1.** Most code pads instead of packing. From padded logits to log-probabilities, with nothing off by one:


# %%
def response_logps(logits, ids, starts, ends):
    """logits (B, L, V), ids (B, L) padded on the right; the response of row i is ids[i, starts[i]:ends[i]] -> (B,)."""
    ### BEGIN SOLUTION
    scores = logits[:, :-1].log_softmax(-1).gather(-1, ids[:, 1:, None])[..., 0]
    place = torch.arange(1, ids.shape[1])
    counted = (place >= starts[:, None]) & (place < ends[:, None])
    return (scores * counted).sum(-1)
    ### END SOLUTION


# %%
check("response_logps", response_logps)

# %% [markdown]
# ## 3 The loop in thirty lines
#
# Pairs come from the reference, labelled by Bradley-Terry; $T$ orders them; the reference is computed once. Then:

# %%
from safedpo import safedpo_loss
from safedpo.lm import pack_pairs, reference_logps, tokenize_pairs
from safedpo.lm import response_logps as packed_logps
from safedpo.lm.sentences import list_sentences, load_kitchen
from safedpo.lm.training.steps import StepSampler


def bare_loop(model, pairs, ref_logps, *, beta, delta, batch_size, steps, lr):
    """SafeDPO with AdamW; the mean loss of each step."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=0.0)
    sampler, logged = StepSampler([1] * len(pairs), batch_size=batch_size, seed=0), []
    for chosen_rows in list(sampler)[:steps]:
        batch = [pairs[i] for i in chosen_rows]
        logps = packed_logps(model, pack_pairs(batch)).reshape(2, -1)
        unsafe = torch.tensor([[p.chosen_unsafe for p in batch], [p.rejected_unsafe for p in batch]])
        loss = safedpo_loss(*logps, *ref_logps[:, chosen_rows], *unsafe, beta=beta, delta=delta).mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        logged.append(loss.item())
    return logged


# %%
import tempfile

from safedpo.lm import SafeDPOConfig, SafeDPOTrainer

records = list_sentences(load_kitchen()).sample_records(400, seed=0)
steps, kitchen = 6 if FAST else 20, load_kitchen()
pairs = tokenize_pairs(records, kitchen.tokenizer).items
with tempfile.TemporaryDirectory() as scratch:
    ref_logps = reference_logps(kitchen.model, pairs, folder=Path(scratch))
settings = {
    "use_cpu": True,
    "beta": 0.5,
    "delta": 5.0,
    "max_steps": steps,
    "per_device_train_batch_size": 16,
    "learning_rate": 1e-3,
    "lr_scheduler_type": "constant",
    "warmup_steps": 0,
    "save_strategy": "no",
    "disable_tqdm": True,
    "seed": 0,
    "weight_decay": 0.0,
}


def trainer_losses(**changes):
    trainer = SafeDPOTrainer(
        load_kitchen().model, SafeDPOConfig(output_dir="unused", **(settings | changes)), pairs, ref_logps
    )
    trainer.train()
    return torch.tensor([row["loss"] for row in trainer.state.log_history if "loss" in row])


mine = torch.tensor(
    bare_loop(load_kitchen().model, pairs, ref_logps, beta=0.5, delta=5.0, batch_size=16, steps=steps, lr=1e-3)
)
theirs = trainer_losses(row_tokens=1024)
print("bare loop:", mine[:4].tolist(), "\ntrainer:  ", theirs[:4].tolist())
print(f"largest difference over {steps} steps: {(mine - theirs).abs().max():.1e}")
assert (mine - theirs).abs().max() < 1e-6 * mine.max()

# %% [markdown]
# No magic, then: the trainer is this loop, with care around it. The same step may be cut into short rows (to save memory)
# or into several micro-batches, and stays the same step.

# %%
one_row, short_rows = trainer_losses(row_tokens=1024), trainer_losses(row_tokens=64)
pieces = trainer_losses(per_device_train_batch_size=4, gradient_accumulation_steps=4)
print(
    f"long rows against short rows: {(one_row - short_rows).abs().max():.1e}; against 4 micro-batches of 4: "
    f"{(one_row - pieces).abs().max():.1e}"
)
assert (one_row - short_rows).abs().max() < 1e-3 and (one_row - pieces).abs().max() < 1e-3  # rounding, step after step

# %%
from safedpo.labs.faults import broken  # fault 0 is a textbook pipeline that pads; more of it in section 7

texts = [(record.prompt, record.responses[0]) for record in records[:16]]
with torch.no_grad():
    padded = broken(0).logps(kitchen.model, kitchen.tokenizer, texts)
    alone = torch.cat([broken(0).logps(kitchen.model, kitchen.tokenizer, [text]) for text in texts])
    chosen_first = [pair for pair in pairs if pair.id <= 16]
    packed = packed_logps(kitchen.model, pack_pairs(chosen_first)).reshape(2, -1)
by_row = {
    pair.id: packed[int(records[pair.id - 1].responses[0] != kitchen.tokenizer.decode(pair.chosen_ids[:-1])), k]
    for k, pair in enumerate(chosen_first)
}
assert (padded - alone).abs().max() < 1e-4  # padding changes nothing
assert all(abs(value - padded[row - 1]) < 1e-4 for row, value in by_row.items())  # nor does packing
print(f"padded together, each alone, packed in one row: equal to {(padded - alone).abs().max():.0e} nats")

# %% [markdown]
# **Exercise 2.** A step of five pairs does not fit; it is cut into micro-batches of four and one. What must the loss of
# the step be, so that nothing changes?


# %%
def step_loss(losses, sizes):
    """losses (N,) of all micro-batches one after another; sizes: pairs in each -> the loss of the step, a number."""
    ### BEGIN SOLUTION
    return sum(part.sum() for part in losses.split(list(sizes))) / sum(sizes)
    ### END SOLUTION


# %%
check("step_loss", step_loss)

# %% [markdown]
# And a run that is interrupted goes on from its last checkpoint to *bitwise* the same weights: the order of the pairs, the
# optimizer's moments and the reference are all part of it.

# %%
from safedpo.lm import train
from safedpo.lm.sentences import list_sentences, load_kitchen
from transformers import TrainerCallback


class Interrupt(TrainerCallback):
    def on_step_end(self, args, state, control, **others):
        if state.global_step == 7:
            raise KeyboardInterrupt


records = list_sentences(load_kitchen()).sample_records(200, seed=0)
how = {
    "beta": 1.0,
    "delta": 5.0,
    "full": True,
    "max_steps": 10,
    "batch_size": 8,
    "device": "cpu",
    "save_steps": 5,
    "disable_tqdm": True,
}
with tempfile.TemporaryDirectory() as home:
    whole = train(load_kitchen(), records, f"{home}/whole", **how).policy
    try:
        train(load_kitchen(), records, f"{home}/again", callbacks=[Interrupt()], **how)
    except KeyboardInterrupt:
        print("interrupted after step 7; the last checkpoint is of step 5")
    resumed = train(load_kitchen(), records, f"{home}/again", **how).policy
assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), resumed.parameters(), strict=True))
assert not any(torch.equal(a, b) for a, b in zip(whole.parameters(), load_kitchen().model.parameters(), strict=True))

# %% [markdown]
# ## 4 Towards the optimum
#
# Now the experiment that a table cannot do and a large model cannot measure: a neural policy, all weights trained on
# sampled pairs, against the closed form. The distance is $\mathrm{KL}(\pi^\ast \,\|\, \pi_\theta)$: it stays finite while
# unsafe mass is left. The other direction is infinite until the last unsafe sentence is gone, so it measures nothing here.
#
# **Exercise 3.** Write the distance. Mind the sentences that $\pi^\ast$ never says.


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
from safedpo.finite import expected_reward, optimal_policy, unsafe_mass
from safedpo.lm.sentences import STEADY, list_sentences, load_kitchen, train_measured

sentences = list_sentences(load_kitchen())
world, records = sentences.world, sentences.sample_records(1500 if FAST else 120_000, seed=0)
settings = {"beta": 1.0, **STEADY, "disable_tqdm": FAST, "every": 20 if FAST else 100}

best = optimal_policy(world, 1.0)
paths = {
    f"SafeDPO, Δ = {delta}": train_measured(sentences, records, best, delta=delta, **settings)[1] for delta in (0, 10)
}

# %% [markdown]
# DPO on the raw labels has a closed form of its own, the optimum *without* the constraint. It is measured against that.

# %%
unconstrained = optimal_policy(world, 1.0, penalty=0.0)
_, paths["DPO-helpful"] = train_measured(
    sentences, records[:30_000], unconstrained, loss="dpo", rule="helpful", **settings
)
for name, rows in paths.items():
    print(
        f"{name:16} KL to its optimum {rows[0]['kl']:.3f} -> {rows[-1]['kl']:.4f}, unsafe mass {rows[-1]['unsafe']:.2e}, "
        f"expected reward {rows[-1]['reward']:.3f}"
    )
print(
    f"closed forms: expected reward {expected_reward(world, best).mean():.3f} (SafeDPO), "
    f"{expected_reward(world, unconstrained).mean():.3f} (DPO); unsafe mass {unsafe_mass(world, unconstrained).mean():.3f} (DPO)"
)

safe0, safe10, helpful = (rows[-1] for rows in paths.values())
assert safe10["unsafe"] < safe0["unsafe"] < 0.2 and helpful["unsafe"] > 0.15  # DPO does not unlearn the hazards
if not FAST:
    assert all(last["kl"] < 0.05 for last in (safe0, safe10, helpful))  # from 0.55, 0.55 and 0.29
    assert safe0["unsafe"] < 1e-3 and safe10["unsafe"] < 1e-4
    assert abs(helpful["unsafe"] - unsafe_mass(world, unconstrained).mean()) < 0.05

# %%
from safedpo.show import Stops, slider
from safedpo.show.figures.curves import curves

steps = [row["step"] for row in paths["DPO-helpful"]]
common = [step for step in steps if all(step in {row["step"] for row in rows} for rows in paths.values())]
table = {name: {row["step"]: row for row in rows} for name, rows in paths.items()}
panels = {
    "KL to its own optimum": {name: [rows[step]["kl"] for step in common] for name, rows in table.items()},
    "log10 unsafe mass": {name: [math.log10(rows[step]["unsafe"]) for step in common] for name, rows in table.items()},
    "expected reward": {name: [rows[step]["reward"] for step in common] for name, rows in table.items()},
}
slider(lambda step: curves(common, panels, at=step), Stops("step", common, start=common[-1]))

# %% [markdown]
# Both margins come near the same optimum. $\Delta = 10$ clears the unsafe sentences at once and shakes the safe ones on the
# way; $\Delta = 0$ pushes less and less as it succeeds, and its unsafe mass comes down slowly:

# %%
early0, early10 = (paths[f"SafeDPO, Δ = {delta}"][1] for delta in (0, 10))
assert early10["unsafe"] < early0["unsafe"] and early10["kl"] > early0["kl"] > 0

# %% [markdown]
# With $\beta = 0.1$ the optimum is ten times sharper: rewards are divided by 0.1, and $\pi^\ast$ sits on a few dozen
# sentences, some of which the reference hardly ever says. A short run now, and the stored end of one as long as those above:

# %%
import json

from safedpo.files import shipped

sharp = optimal_policy(world, 0.1)
_, rows = train_measured(sentences, records[: 1000 if FAST else 10_000], sharp, delta=10, **(settings | {"beta": 0.1}))
stored = json.loads((shipped("data") / "sentences" / "runs.json").read_text(encoding="utf-8"))["sharp"]
for name, row in (
    (f"{1000 if FAST else 10_000:,} pairs, now", rows[-1]),
    (f"{stored['pairs']:,} pairs, stored", stored["rows"][-1]),
):
    print(
        f"β = 0.1, {name}: KL {rows[0]['kl']:.2f} -> {row['kl']:.2f}, unsafe mass {row['unsafe']:.1e}, expected reward "
        f"{row['reward']:.2f} of {expected_reward(world, sharp).mean():.2f}"
    )
assert rows[0]["kl"] > 3 and rows[-1]["unsafe"] < rows[0]["unsafe"]
assert abs(stored["rows"][0]["kl"] - rows[0]["kl"]) < 1e-6  # the stored run began at the same reference
assert 0.5 < stored["rows"][-1]["kl"] < 1
assert FAST or rows[-1]["reward"] > rows[0]["reward"]
assert FAST or rows[-1]["kl"] > rows[0]["kl"]  # farther from its optimum than the reference

# %% [markdown]
# The short run has removed the hazards and raised the reward, and stands *farther* from $\pi^\ast$ than the reference: good sentences
# were thrown out with the bad, and here each of them weighs a lot. Twelve times the pairs come back to less than a nat, where
# $\beta = 1$ had come to hundredths. What a small $\beta$ asks for is far away.

# %% [markdown]
# ## 5 What no pair mentions
#
# So far the mask forbade everything outside the grammar. A real model has no mask. Take it away: the same weights, the same
# pairs. The reference leaves about two per cent of its probability outside the list, and no pair ever mentions it.
#
# **Predict.** Training pushes rejected sentences down. Where does their probability go?

# %%
predict("where_does_mass_go")

# %%
from safedpo.finite import optimal_policy
from safedpo.lm.sentences import list_sentences, load_kitchen, train_measured

sentences = list_sentences(load_kitchen())
records = sentences.sample_records(1000 if FAST else 6000, seed=0)
leaks = {}
for beta, delta in ((1.0, 0), (1.0, 10), (0.1, 0), (0.1, 10)):
    policy, rows = train_measured(
        sentences,
        records,
        optimal_policy(sentences.world, beta),
        masked=False,
        every=10,
        beta=beta,
        delta=delta,
        per_device_train_batch_size=64,
        learning_rate=2e-3,
        disable_tqdm=True,
    )
    leaks[f"β = {beta:g}, Δ = {delta}"] = rows
    most = max(row["outside"] for row in rows)
    print(
        f"β = {beta:g}, Δ = {delta:2}: outside the list {rows[0]['outside']:.3f} at first, {most:.3f} at most, "
        f"{rows[-1]['outside']:.3f} at the end"
    )
assert all(max(row["outside"] for row in rows) > 1.5 * rows[0]["outside"] for rows in leaks.values())

# %%
from safedpo.show import Stops, slider
from safedpo.show.figures.curves import curves

steps = [row["step"] for row in next(iter(leaks.values()))]
lines = {
    "mass outside the list": {name: [row["outside"] for row in rows] for name, rows in leaks.items()},
    "unsafe mass in the list": {name: [row["unsafe"] for row in rows] for name, rows in leaks.items()},
}
slider(lambda step: curves(steps, lines, at=step), Stops("step", steps, start=steps[-1]))

# %% [markdown]
# That is **likelihood displacement**, seen exactly. The loss of a pair knows one number, the difference of two log-ratios.
# Both may fall, as long as the rejected one falls more; and what both lose goes wherever the network finds it easiest. This
# is why a log must show chosen and rejected log-probabilities apart, and never the margin alone.

# %% [markdown]
# ## 6 All weights, or a few
#
# LoRA trains thin matrices beside frozen ones. What does it cost? A distance that is left can be *representation* (the
# rank has no room for the optimum) or *optimisation* (the same steps do not get there). A look at several ranks tells.
#
# So each is given two tasks: answers drawn from $\pi^\ast$ itself, to be imitated (maximum likelihood, whose excess is the very KL we
# measure), and the pairs of above. What is left of the first is mostly representation; what the second leaves more is the way there.
#
# **Predict.** 60,000 answers or pairs (half of those above): ranks 1, 4 and 16, and all weights.

# %%
predict("rank")

# %%
import json

from safedpo.files import shipped
from safedpo.finite import optimal_policy
from safedpo.lm.sentences import STEADY, list_sentences, load_kitchen, train_measured

stored = json.loads((shipped("data") / "sentences" / "runs.json").read_text(encoding="utf-8"))
print(f"stored, made by {stored['command']}")
for row in stored["ranks"]:
    name = f"rank {row['rank']}" if row["rank"] else "all weights"
    print(
        f"{name:12} imitating π*: KL {row['fitted']['kl']:.4f}   SafeDPO, Δ = {stored['train']['delta']:g}: "
        f"KL {row['trained']['kl']:.4f}, unsafe {row['trained']['unsafe']:.1e}"
    )
fitted, trained = ({row["rank"]: row[how]["kl"] for row in stored["ranks"]} for how in ("fitted", "trained"))
assert fitted[1] > fitted[4] > fitted[16] > fitted[0] > 0  # more rank is more room
assert all(trained[rank] > 2 * fitted[rank] for rank in fitted)  # pairs leave more than imitation does
assert trained[0] < trained[16] / 5  # the same pairs and steps bring all weights much nearer

sentences = list_sentences(load_kitchen())
records = sentences.sample_records(1000 if FAST else 8000, seed=0)
_, rows = train_measured(
    sentences,
    records,
    optimal_policy(sentences.world, 1.0),
    rank=4,
    beta=1.0,
    delta=10.0,
    **(STEADY | {"learning_rate": 1e-2, "disable_tqdm": True}),
)
print(
    f"live, rank 4 on {len(records):,} pairs: KL {rows[0]['kl']:.3f} -> {rows[-1]['kl']:.3f}, "
    f"unsafe {rows[0]['unsafe']:.3f} -> {rows[-1]['unsafe']:.1e}"
)
assert rows[-1]["unsafe"] < rows[0]["unsafe"]
assert all(trained[rank] > rows[0]["kl"] for rank in (1, 4, 16))  # farther from π* than the reference was

# %% [markdown]
# Both errors are there. More rank imitates better, so room is missing, at rank 1 most of all. But with pairs every adapter ends
# *farther* from $\pi^\ast$ than the reference began, though its unsafe mass has fallen from a quarter to a hundredth: $\Delta = 10$
# throws out the hazards and safe sentences that resemble them, and bringing those back takes steps that thin matrices, beside
# frozen embeddings and a frozen head, make slowly. All weights make them. This is a model of two layers; nothing here says that
# LoRA costs as much on a large one.

# %% [markdown]
# ## 7 Find the silent bug
#
# Each of the following bugs has been in code that people trained with. None raises an error; most of them even seem to
# learn. Each replaces one stage of a textbook pipeline. Move the slider: grey is the sound pipeline.

# %%
from safedpo.labs.faults import FAULTS, broken
from safedpo.labs.symptoms import CHECKS, figure
from safedpo.show import Stops, slider

slider(figure, Stops("fault", list(range(len(FAULTS) + 1)), start=1))

# %% [markdown]
# A symptom has to be noticed; a check notices by itself. Six checks catch all fifteen: a brute-force twin, a truth table,
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
from safedpo.labs.symptoms import DELTA, first_losses

want = {"SS": math.log(2), "SU": math.log1p(math.exp(DELTA)), "US": math.log1p(math.exp(DELTA)), "UU": None}
found = []
for number in range(len(FAULTS) + 1):
    losses = dict(zip(want, first_losses(broken(number)), strict=True))
    right = all(
        (losses[g] is None) == (want[g] is None) and abs((losses[g] or 0) - (want[g] or 0)) < 1e-3 for g in want
    )
    found += [] if right else [number]
print("step 0 alone finds faults", found)
assert set(found) >= {8, 9, 10, 11, 14} and 0 not in found

# %% [markdown]
# **Exercise 4.** A pipeline with a fault that is not named. Use the figure and the slider above: which number is it?

# %%
from safedpo.labs.checks.nb06 import MYSTERY
from safedpo.labs.symptoms import mystery
from safedpo.show import still

still(*mystery(MYSTERY))


# %%
def silent_bug():
    """The number of the fault."""
    ### BEGIN SOLUTION
    return 12
    ### END SOLUTION


# %%
check("silent_bug", silent_bug)

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
# its labels are right. And the mask made the first experiments kinder than life is; section 5 is the honest version.

# %%
progress("06")

# %% [markdown]
# **References.** SafeDPO: arXiv 2505.20065, sections 3 and 4. DPO: arXiv 2305.18290. Likelihood displacement: arXiv
# 2410.08847. LoRA: arXiv 2106.09685.
#
# **Next:** [07 · Fine-tuning with LoRA](07_finetuning_with_lora.ipynb): the same functions, and a model too large to list.
