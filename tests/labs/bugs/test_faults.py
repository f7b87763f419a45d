"""The planted bugs, and the sound pipeline, which equals the package."""

import pytest
import torch

from safedpo.errors import UserError
from safedpo.labs.bugs.faults import FAULTS, Pipeline, broken
from safedpo.labs.bugs.symptoms import (
    BETA,
    CHECKS,
    DELTA,
    ROWS,
    TEXTS,
    fresh_policy,
)
from safedpo.lm import pack_examples, pack_pairs, response_logps
from safedpo.lm.rows.tokens import tokenize_examples, tokenize_pairs
from safedpo.lm.sentences.reference import kitchen_tokenizer
from safedpo.losses import safedpo_loss
from safedpo.records import Record


def test_there_are_enough_faults_of_different_kinds():
    assert len(FAULTS) >= 10 and len({fault.name for fault in FAULTS}) == len(FAULTS)
    assert {fault.caught_by for fault in FAULTS} == set(CHECKS)


def test_the_padded_pipeline_equals_the_packed_package():
    """Log-probabilities, T and losses, by the package's own tokens, rows and loss."""
    model, tokenizer = fresh_policy(), kitchen_tokenizer()
    examples = tokenize_examples([(*text, i) for i, text in enumerate(TEXTS)], tokenizer).items
    packed = response_logps(model, pack_examples(examples))
    assert torch.allclose(Pipeline().logps(model, tokenizer, TEXTS), packed, atol=1e-4)
    records = [
        Record(r.prompt, r.responses, tuple(not s for s in r.is_safe), r.better, 0, i)
        for i, r in enumerate(ROWS.values())
    ]
    pairs = tokenize_pairs(records, tokenizer).items
    chosen, rejected = response_logps(model, pack_pairs(pairs)).chunk(2)
    flags = [torch.tensor([getattr(p, name) for p in pairs]) for name in ("chosen_unsafe", "rejected_unsafe")]
    moved = 1.5 * chosen.detach(), 0.5 * rejected.detach()
    ours = safedpo_loss(*moved, chosen, rejected, *flags, beta=BETA, delta=DELTA)
    mine = Pipeline().pairs(list(ROWS.values()))
    assert [(p.chosen_unsafe, p.rejected_unsafe) for p in pairs] == [(p.chosen_unsafe, p.rejected_unsafe) for p in mine]
    theirs = Pipeline().loss(*moved, chosen, rejected, *flags, beta=BETA, delta=DELTA)
    assert torch.allclose(ours, theirs, atol=1e-6) and len(ours) == 3


def test_an_unknown_fault_is_refused():
    with pytest.raises(UserError, match="no fault 16; faults are 1 to 15"):
        broken(16)
