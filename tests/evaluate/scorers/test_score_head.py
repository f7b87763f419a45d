"""Score heads on tiny random models against scores by hand: last token, sign, template, padding, streaming, refusals."""

import json
import tracemalloc
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import LlamaForSequenceClassification

from safedpo.errors import UserError
from safedpo.evaluate.scorers import score_head as module
from safedpo.evaluate.scorers.score_head import BEAVER, load_score_model
from safedpo.lm.models.tiny import tiny_model, tiny_tokenizer

EXCHANGES = [("hello", "Hello! How can I help you today?"), ("a", "b"), ("How?", "Like this. " * 9), ("hello", "x")]


def head_model(
    folder: Path, *, name: str = "score_head", scores: int = 1, bias: bool = False, chat: bool = True
) -> Path:
    """A folder as safe-rlhf's `save_pretrained` leaves it: a Llama without its output layer, and a row of weights."""
    tiny_model(tied=False).save_pretrained(folder)
    tiny_tokenizer(chat=chat).save_pretrained(folder)
    tensors = {key: value for key, value in load_file(folder / "model.safetensors").items() if key != "lm_head.weight"}
    draw = torch.Generator().manual_seed(3)
    tensors[f"{name}.weight"] = torch.randn(scores, 32, generator=draw)
    if bias:
        tensors[f"{name}.bias"] = torch.full((scores,), 0.75)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def by_hand(text_ids: list[int], bias: float = 0.0) -> float:
    """The last hidden state of the whole model, one text alone, times the weights."""
    weight = torch.randn(1, 32, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        hidden = tiny_model(tied=False)(torch.tensor([text_ids]), output_hidden_states=True).hidden_states[-1]
    return (hidden[0, -1] @ weight[0]).item() + bias


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("end", [False, True])
def test_each_score_is_that_of_its_text_alone_whatever_stands_beside_it(tmp_path, bias, end):
    scorer = load_score_model(head_model(tmp_path / "m", bias=bias), dtype="float32", device="cpu")
    assert scorer.template == "beaver"
    found = list(scorer.scores(EXCHANGES, batch_size=3, end=end))
    for (prompt, response), score in zip(EXCHANGES, found, strict=True):
        text = f"BEGINNING OF CONVERSATION: USER: {prompt} ASSISTANT:{response}"
        ids = tiny_tokenizer()(text)["input_ids"] + ([1] if end else [])
        assert score == pytest.approx(by_hand(ids, 0.75 * bias), abs=1e-4)
    assert found == pytest.approx(list(scorer.scores(EXCHANGES, batch_size=1, end=end)), abs=1e-4)


def test_a_sequence_classifier_reads_the_tokenizer_s_chat_template_and_scores_as_transformers_does(tmp_path):
    folder = head_model(tmp_path / "m", name="score")
    scorer = load_score_model(folder, dtype="float32", device="cpu")
    assert scorer.template == "chat"
    text = scorer.tokenizer.apply_chat_template(
        [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}], tokenize=False
    )
    ids = torch.tensor([tiny_tokenizer()(text, add_special_tokens=False)["input_ids"]])
    other = LlamaForSequenceClassification.from_pretrained(folder, num_labels=1).eval()
    other.config.pad_token_id = None
    with torch.no_grad():
        assert next(scorer.scores([("a", "b")])) == pytest.approx(other(ids).logits.item(), abs=1e-4)


def test_a_long_text_keeps_its_last_tokens(tmp_path):
    scorer = load_score_model(head_model(tmp_path / "m"), dtype="float32", device="cpu", max_length=40)
    ids = scorer.ids("q" * 100, "r" * 100)
    assert len(ids) == 40 and ids[-1] == 1
    assert ids[:-1] == tiny_tokenizer()(BEAVER.format(prompt="q" * 100, response="r" * 100))["input_ids"][-39:]


def test_responses_stream_and_memory_does_not_grow_with_them(tmp_path, monkeypatch):
    scorer = load_score_model(head_model(tmp_path / "m"), dtype="float32", device="cpu")
    monkeypatch.setattr(module.ScoreModel, "_last", lambda self, rows: [float(len(row)) for row in rows])
    peaks = []
    for count in (200, 3_000):
        exchanges = ((f"{i}", "word " * 40) for i in range(count))
        tracemalloc.start()
        assert sum(1 for _ in scorer.scores(exchanges, batch_size=8)) == count
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0]


def test_the_card_s_score_is_checked_where_the_card_prints_one(tmp_path, monkeypatch):
    folder = head_model(tmp_path / "m")
    scorer = load_score_model(folder, dtype="float32", device="cpu")
    own = next(scorer.scores([module.CARD_EXCHANGE], end=False))
    assert scorer.check_card() is None
    monkeypatch.setitem(module.CARD_SCORES, str(folder), own + 0.1)
    assert load_score_model(folder, dtype="float32", device="cpu").check_card() == pytest.approx(own)
    monkeypatch.setitem(module.CARD_SCORES, str(folder), own + 0.6)
    with pytest.raises(UserError, match="gives the exchange of its card .* weights, tokenizer or template"):
        load_score_model(folder, dtype="float32", device="cpu")


def changed(folder: Path, **config) -> Path:
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | config))
    return folder


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda f: tiny_model().save_pretrained(f) or tiny_tokenizer().save_pretrained(f) and f, "has no score head"),
        (lambda f: head_model(f, scores=2), "gives 2 scores a text"),
        (lambda f: head_model(f, name="score", chat=False), "no chat template.*--scorer-template beaver"),
        (lambda f: changed(head_model(f), do_normalize=True), "normalises its scores"),
        (lambda f: f, "presets are"),
    ],
)
def test_what_is_no_score_model_is_refused_in_one_sentence(tmp_path, make, message):
    make(tmp_path / "m")
    with pytest.raises(UserError, match=message) as error:
        load_score_model(tmp_path / "m", dtype="float32", device="cpu")
    assert "\n" not in str(error.value)


def test_an_unknown_template_is_refused_before_anything_is_read():
    with pytest.raises(UserError, match="no scorer template 'alpaca'; there are auto, beaver, chat"):
        load_score_model("nowhere", template="alpaca")
