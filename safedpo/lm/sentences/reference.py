"""The reference that speaks the kitchen language: its tokenizer, and the trained weights that come with the package."""

from pathlib import Path

import torch

from safedpo.errors import UserError
from safedpo.files import shipped, verified
from safedpo.lm.models.fingerprint import weights_fingerprint
from safedpo.lm.models.load import LoadedModel
from safedpo.lm.models.loading import quiet
from safedpo.lm.sentences.advice import GRAMMAR, PROMPTS
from safedpo.lm.sentences.grammar import ANSWER, ASK, WordTokenizer, word_tokenizer
from safedpo.lm.sentences.model import SentenceLM


def kitchen_tokenizer() -> WordTokenizer:
    """One token for each word of the answers and the prompts.

    >>> words = kitchen_tokenizer()
    >>> words.decode(words("spray soap then rinse")["input_ids"]), len(words)
    ('spray soap then rinse', 39)
    """
    prompt_words = (word for prompt in PROMPTS for word in prompt.split())
    return word_tokenizer(tuple(dict.fromkeys([*GRAMMAR.words, ASK, ANSWER, *prompt_words])))


def load_kitchen(folder: str | Path | None = None, *, masked: bool = True) -> LoadedModel:
    """The trained reference with its tokenizer, on the CPU in float32; `folder`: another one than the shipped.

    `masked=False`: the same weights without the grammar's mask. Each call loads afresh, so that training one policy
    never touches another.

    >>> load_kitchen("nowhere")
    Traceback (most recent call last):
    ...
    safedpo.errors.UserError: nowhere holds no sentence model; make it with safedpo maintain sentences reference nowhere
    """
    folder = shipped("data") / "sentences" if folder is None else Path(folder)
    if not (folder / "model.safetensors").is_file():
        raise UserError(f"{folder} holds no sentence model; make it with safedpo maintain sentences reference {folder}")
    for name in ("config.json", "generation_config.json", "model.safetensors"):
        verified(folder / name)
    with quiet():
        model = SentenceLM.from_pretrained(folder, masked=masked).eval()
    return LoadedModel(
        model,
        kitchen_tokenizer(),
        "sentences" if masked else "sentences without mask",
        "cpu",
        torch.float32,
        "a small model needs no other",
        weights_fingerprint(model),
    )
