import pytest
import torch

from safedpo.errors import UserError
from safedpo.lm.models.adapters import add_lora
from safedpo.lm.models.fits import memory_of_a_step, refuse_if_too_big
from safedpo.lm.models.tiny import tiny_model, tiny_tokenizer
from safedpo.lm.rows.tokens import tokenize_pairs
from safedpo.lm.training.config import SafeDPOConfig
from safedpo.lm.training.trainer import SafeDPOTrainer


def test_more_tokens_need_more_and_checkpointing_needs_less():
    model = add_lora(tiny_model())
    assert memory_of_a_step(model, 500) < memory_of_a_step(model, 1000)
    assert memory_of_a_step(model, 1000, checkpointing=True) < memory_of_a_step(model, 1000)


@pytest.mark.parametrize(("row_tokens", "way_out"), [(400, "set row_tokens below 400"), (1, "set max_length below")])
def test_a_row_that_does_not_fit_says_what_it_needs_and_what_to_change(records, tmp_path, row_tokens, way_out):
    pairs = tokenize_pairs(records, tiny_tokenizer()).items
    config = SafeDPOConfig(output_dir=str(tmp_path), use_cpu=True, row_tokens=row_tokens, disable_tqdm=True)
    trainer = SafeDPOTrainer(add_lora(tiny_model()), config, pairs, torch.zeros(2, len(pairs)))
    refuse_if_too_big(trainer)
    with pytest.raises(UserError, match=rf"tokens needs about \d.* GB .*0.0 GB are free; {way_out}"):
        refuse_if_too_big(trainer, free=1000)
