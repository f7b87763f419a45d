"""The listed language model: its probabilities are exact, its world is the reference's, and the trainer reaches pi*."""

import hashlib
import json
import math
import re

import pytest
import torch
from transformers import LlamaForCausalLM

from safedpo.cli.maintain.sentences import corpus, store_runs, train_reference
from safedpo.errors import UserError
from safedpo.files import shipped
from safedpo.finite import expected_reward, kl, optimal_policy, unsafe_mass
from safedpo.lm import (
    add_lora,
    pack_examples,
    reference_logps,
    response_logps,
    tokenize_pairs,
    train,
    weights_fingerprint,
)
from safedpo.lm.rows.tokens import tokenize_examples
from safedpo.lm.sentences.advice import GRAMMAR, PROMPTS, hazard, reward
from safedpo.lm.sentences.enumeration import list_sentences, outside_mass
from safedpo.lm.sentences.grammar import ANSWER, END, Grammar
from safedpo.lm.sentences.measured import STEADY, Distances, fit_measured, train_measured
from safedpo.lm.sentences.model import answer_tree, sentence_model
from safedpo.lm.sentences.reference import kitchen_tokenizer, load_kitchen


@pytest.fixture(scope="module")
def sentences():
    return list_sentences(load_kitchen())


def by_hand(model, prompt, answer):
    """log pi token by token: for each word a forward over everything before it, no cache, no packing."""
    tokenizer = kitchen_tokenizer()
    ids = tokenizer(f"<ask> {prompt} <answer>")["input_ids"]
    total = 0.0
    for word in [*answer.split(), END]:
        logits = model(input_ids=torch.tensor([ids])).logits[0, -1].double()
        ids.append(tokenizer(word)["input_ids"][0])
        total += logits.log_softmax(-1)[ids[-1]].item()
    return total


def test_probabilities_of_each_prompt_sum_to_one(sentences):
    assert (sentences.world.ref_logps.exp().sum(-1) - 1).abs().max() < 1e-5
    untrained = sentence_model(GRAMMAR, kitchen_tokenizer().get_vocab(), seed=3)  # the mask, not the training, does it
    assert (sentences.logps(untrained).exp().sum(-1) - 1).abs().max() < 1e-5


def test_enumeration_equals_a_forward_for_each_word(sentences):
    model = load_kitchen().model
    for k in (0, 7, 1411, 2879, 2881):
        want = by_hand(model, PROMPTS[k % 4], GRAMMAR.sentences[k])
        assert sentences.world.ref_logps[k % 4, k].item() == pytest.approx(want, abs=1e-4)


@pytest.mark.parametrize("masked", [True, False])
def test_enumeration_equals_the_path_of_training(sentences, masked):
    model = add_lora(load_kitchen(masked=masked).model, r=4)
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.2, generator=torch.Generator().manual_seed(len(name)))
    chosen = [(p, y) for p in range(4) for y in range(0, 2882, 97)]
    rows = [(PROMPTS[p], GRAMMAR.sentences[y], i) for i, (p, y) in enumerate(chosen)]
    examples = tokenize_examples(rows, kitchen_tokenizer()).items
    packed = response_logps(model, pack_examples(examples)).double()
    places = tuple(torch.tensor(chosen).T)
    listed = sentences.logps(model)[places]
    assert (packed - listed).abs().max() < 1e-3
    assert (listed - sentences.world.ref_logps[places]).abs().max() > 0.1  # the adapter does something


def test_sampling_word_by_word_agrees_with_the_list(sentences):
    """40,000 answers drawn one token at a time, against the listed probabilities, within six standard errors."""
    reference, n = load_kitchen(), 40_000
    ids = torch.tensor([sentences.prompt_ids[1]]).expand(n, -1)
    torch.manual_seed(0)
    written = reference.model.generate(
        ids, attention_mask=torch.ones_like(ids), do_sample=True, top_k=0, max_new_tokens=12
    )
    texts = reference.tokenizer.batch_decode(written[:, ids.shape[1] :], skip_special_tokens=True)
    number = {answer: i for i, answer in enumerate(sentences.answers)}
    counts = torch.zeros(len(number)).double()
    for text in texts:
        counts[number[text]] += 1  # a KeyError is a sentence outside the grammar
    share = sentences.world.ref_logps[1].exp()
    likely = share > 20 / n
    assert likely.sum() > 300
    error = (share * (1 - share) / n).sqrt()
    assert ((counts / n - share).abs() < 6 * error)[likely].all()
    chi_square = ((counts - n * share) ** 2 / (n * share))[likely].sum().item()
    assert abs(chi_square - likely.sum()) < 6 * math.sqrt(2 * likely.sum())
    unsafe = sentences.world.unsafe[1]
    mass = share[unsafe].sum()
    assert abs(counts[unsafe].sum() / n - mass) < 6 * (mass * (1 - mass) / n).sqrt()


def test_world_is_made_of_the_functions_of_the_sentence(sentences):
    world = sentences.world
    for p, y in ((0, 5), (3, 2000), (2, 2881)):
        assert world.reward[p, y].item() == pytest.approx(reward(PROMPTS[p], GRAMMAR.sentences[y]))
        assert world.unsafe[p, y].item() == (hazard(GRAMMAR.sentences[y]) is not None)
    best = optimal_policy(world, 1.0)
    assert unsafe_mass(world, best).max() == 0 and (kl(best, world.ref_logps) > 0.1).all()
    assert (unsafe_mass(world, world.ref_logps) > 0.15).all()  # there is something to unlearn


def test_without_the_mask_mass_is_outside_and_the_world_is_refused(sentences):
    bare = load_kitchen(masked=False)
    outside = outside_mass(sentences.logps(bare.model))
    assert (outside > 1e-4).all() and (outside < 0.1).all()
    with pytest.raises(UserError, match="outside the grammar.*masked=True"):
        list_sentences(bare)


def test_without_the_mask_it_is_an_ordinary_llama():
    plain = LlamaForCausalLM.from_pretrained(shipped("data") / "sentences").eval()
    ids = torch.tensor([[5, 9, 3, 0, 30, 2]])
    assert torch.equal(plain(input_ids=ids).logits, load_kitchen(masked=False).model(input_ids=ids).logits)


def test_tree_shares_beginnings_and_loses_no_answer():
    answers = [(5, 6, 0), (5, 0), (7, 6, 0), (5, 6, 7, 0)]
    tree = answer_tree(answers)
    assert [level.token.tolist() for level in tree] == [[5, 7], [6, 0, 6], [0, 0, 7], [0]]
    assert sorted(torch.cat([level.answers for level in tree]).tolist()) == [0, 1, 2, 3]
    tea = Grammar({ANSWER: ("drink",), "drink": ("tea", "water", END), "tea": (END,), "water": (END,)})
    words = {word: i for i, word in enumerate([*tea.words, ANSWER])}
    assert len(answer_tree([(*(words[w] for w in s.split()), 0) for s in tea.sentences])[0].token) == 1


def test_records_follow_the_reference_and_bradley_terry(sentences):
    world, records = sentences.world, sentences.sample_records(20_000, seed=1)
    assert records == sentences.sample_records(20_000, seed=1) and [r.row for r in records[:2]] == [1, 2]
    assert all(r.responses[0] != r.responses[1] for r in records)
    assert all(r.unsafe == tuple(hazard(y) is not None for y in r.responses) for r in records)
    first_unsafe = sum(r.unsafe[0] for r in records) / len(records)
    mass = unsafe_mass(world, world.ref_logps).mean().item()
    assert abs(first_unsafe - mass) < 6 * math.sqrt(mass * (1 - mass) / len(records))
    chance = [1 / (1 + math.exp(reward(r.prompt, r.responses[0]) - reward(r.prompt, r.responses[1]))) for r in records]
    spread = math.sqrt(sum(p * (1 - p) for p in chance))
    assert abs(sum(r.better for r in records) - sum(chance)) < 6 * spread
    # and where the rewards differ, the label follows them
    sure = [(r.better, p) for r, p in zip(records, chance, strict=True) if p > 0.8]
    assert sum(b for b, _ in sure) / len(sure) > 0.8
    for r in records[:500]:
        assert r.safer == (r.better if r.unsafe[0] == r.unsafe[1] else r.unsafe.index(False))
    with pytest.raises(UserError, match="n is 0"):
        sentences.sample_records(0, seed=0)


def test_the_table_holds_what_the_reference_computes_pair_by_pair(sentences, tmp_path):
    kitchen = load_kitchen()
    pairs = tokenize_pairs(sentences.sample_records(200, seed=5), kitchen.tokenizer).items
    looked_up = sentences.pair_logps(sentences.world.ref_logps, pairs)
    computed = reference_logps(kitchen.model, pairs, folder=tmp_path)
    assert looked_up.shape == (2, len(pairs)) and (looked_up - computed).abs().max() < 1e-3


def test_without_the_mask_training_moves_mass_outside_the_list(sentences):
    target = optimal_policy(sentences.world, 1.0)
    _, rows = train_measured(
        sentences,
        sentences.sample_records(700, seed=0),
        target,
        masked=False,
        every=2,
        beta=0.1,
        delta=10.0,
        max_steps=10,
        per_device_train_batch_size=48,
        learning_rate=3e-3,
        disable_tqdm=True,
    )
    assert max(row["outside"] for row in rows) > 2 * rows[0]["outside"] > 0


def test_stored_runs_are_written_with_the_command_that_made_them(tmp_path):
    store_runs(tmp_path / "runs.json", ranks={1: 1e-2, 0: 1e-3}, n=100, sharp=100)
    found = json.loads((tmp_path / "runs.json").read_text())
    assert [row["rank"] for row in found["ranks"]] == [1, 0] and found["n"] == found["sharp"]["pairs"] == 100
    assert all(row["fitted"]["kl"] > 0 and row["trained"]["step"] > 0 for row in found["ranks"])
    assert found["command"].startswith("safedpo maintain sentences runs ")


def test_a_fit_to_the_optimum_itself_comes_nearer_to_it(sentences):
    """Answers drawn from the target: after 1,000 of them KL is lower, and unsafe answers, of which it has none, rarer."""
    target = optimal_policy(sentences.world, 1.0)
    _, rows = fit_measured(
        sentences, target, n=1000, every=1000, per_device_train_batch_size=2, learning_rate=3e-3, disable_tqdm=True
    )
    assert rows[-1]["kl"] < 0.7 * rows[0]["kl"] and rows[-1]["unsafe"] < rows[0]["unsafe"]


@pytest.mark.slow
@pytest.mark.parametrize("delta", [0.0, 10.0])
def test_full_training_comes_near_the_optimum(sentences, delta):
    best = optimal_policy(sentences.world, 1.0)
    _, rows = train_measured(
        sentences,
        sentences.sample_records(120_000, seed=0),
        best,
        beta=1.0,
        delta=delta,
        disable_tqdm=True,
        every=10_000,
        **STEADY,
    )
    assert rows[0]["kl"] > 0.5 and rows[-1]["kl"] < 0.05
    assert rows[-1]["unsafe"] < (1e-4 if delta else 1e-3)


@pytest.mark.slow
def test_plain_dpo_ends_where_its_own_closed_form_says(sentences):
    own = optimal_policy(sentences.world, 1.0, penalty=0.0)
    records = sentences.sample_records(120_000, seed=0)[:30_000]
    _, rows = train_measured(
        sentences, records, own, beta=1.0, loss="dpo", rule="helpful", disable_tqdm=True, every=10_000, **STEADY
    )
    assert rows[-1]["kl"] < 0.05
    assert rows[-1]["unsafe"] == pytest.approx(unsafe_mass(sentences.world, own).mean().item(), abs=0.05)


def test_distances_at_the_reference_are_those_of_the_table(sentences):
    world = sentences.world
    target = optimal_policy(world, 1.0)
    row = Distances(sentences, target).measure(load_kitchen().model, 7)
    assert row["step"] == 7 and row["outside"] == pytest.approx(0, abs=1e-6)
    assert row["kl"] == pytest.approx(kl(target, world.ref_logps).mean().item(), abs=1e-6)
    assert row["unsafe"] == pytest.approx(unsafe_mass(world, world.ref_logps).mean().item(), abs=1e-6)
    assert row["reward"] == pytest.approx(expected_reward(world, world.ref_logps).mean().item(), abs=1e-6)


@pytest.mark.parametrize("full", [True, False])
def test_a_short_run_of_the_trainer_moves_towards_the_optimum(sentences, tmp_path, full):
    target = optimal_policy(sentences.world, 1.0)
    measure = Distances(sentences, target, every=8)
    reference = load_kitchen()
    run = train(
        reference,
        sentences.sample_records(1500, seed=0),
        tmp_path / "run",
        beta=1.0,
        delta=2.0,
        full=full,
        max_steps=20,
        batch_size=48,
        learning_rate=3e-3,
        lora_r=8,
        callbacks=[measure],
        save_strategy="no",
        disable_tqdm=True,
        device="cpu",
    )
    assert [row["step"] for row in measure.rows] == [0, 8, 16, 20]
    first, last = measure.rows[0], measure.rows[-1]
    assert last["unsafe"] < 0.5 * first["unsafe"]  # the distance itself: the slow tests below
    assert json.loads((run.folder / "run.json").read_text())["step_zero"]["noise"] < 1e-3
    if not full:  # the adapter off is the reference
        with run.policy.disable_adapter():
            assert (sentences.logps(run.policy) - sentences.world.ref_logps).abs().max() < 1e-4  # float32, sums


def test_the_shipped_reference_is_small_whole_and_described():
    folder = shipped("data") / "sentences"
    card = (folder / "README.md").read_text()
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    assert digest in card and "safedpo maintain sentences reference" in card
    parameters = sum(p.numel() for p in load_kitchen().model.parameters())
    assert parameters < 2_000_000 and f"{parameters:,}" in card
    assert float(re.search(r"of\s+([\d.]+) s in all", card)[1]) < 60
    assert load_kitchen().fingerprint == weights_fingerprint(LlamaForCausalLM.from_pretrained(folder))


def test_the_reference_has_learnt_its_corpus(sentences):
    """Against the random walk itself, whose probabilities are known: close, though it saw 12,000 draws of it."""
    from safedpo.lm.sentences.advice import OFTEN

    def walk(answer):
        chance, words = 1.0, [ANSWER, *answer.split(), END]
        for before, word in zip(words, words[1:], strict=False):
            total = sum(OFTEN.get(w, 1.0) for w in GRAMMAR.follows[before])
            chance *= OFTEN.get(word, 1.0) / total
        return chance

    truth = torch.tensor([[walk(answer) for answer in GRAMMAR.sentences]]).double()
    assert truth.sum().item() == pytest.approx(1, abs=1e-9)
    assert (kl(truth.log().expand(4, -1), sentences.world.ref_logps) < 0.05).all()


def test_training_the_reference_again_writes_what_the_loader_reads(tmp_path):
    train_reference(tmp_path, steps=3)
    assert list_sentences(load_kitchen(tmp_path)).world.answers == 2882
    with pytest.raises(UserError, match="holds no sentence model"):
        load_kitchen(tmp_path / "elsewhere")
    assert corpus(5, seed=0)[4][2] == 5
