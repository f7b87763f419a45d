"""Checkpoints do not depend on how many processes wrote them, or on what each of them held."""

import pytest
import torch

from safedpo.lm.models.adapters import add_lora
from safedpo.lm.models.tiny import tiny_model, tiny_tokenizer
from safedpo.lm.training.on_disk.sharded import whole_weights
from tests.lm.training.processes.started import ALONE, TORCHRUN, log, start, weights
from tests.lm.training.test_two_processes import same_logs, same_weights


def test_whole_weights_are_those_that_are_trained():
    policy = add_lora(tiny_model())
    assert {name.split(".lora_")[1][:2] for name in whole_weights(policy)} == {"A.", "B."}


TWO = (TORCHRUN, {"batch_size": 4})
ONE = (ALONE, {"batch_size": 8})
SHARDED = (TORCHRUN, {"batch_size": 4, "fsdp": True})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("first", "then", "how"),
    [
        (TWO, ONE, {}),
        (ONE, TWO, {}),
        (SHARDED, ONE, {}),
        (ONE, SHARDED, {"full": True, "learning_rate": 0.003}),
        (SHARDED, SHARDED, {"full": True, "learning_rate": 0.003}),
    ],
    ids=["2-1", "1-2", "sharded-1", "1-sharded-full", "sharded-sharded-full"],
)
def test_a_run_goes_on_with_another_number_of_processes(tmp_path, first, then, how):
    """Killed after step 5 of 8, with logs that wait (a row every 3 steps), and a checkpoint at step 4."""
    how = how | {"logging_steps": 3}
    start(ALONE, tmp_path / "whole", batch_size=8, **how)
    start(first[0], tmp_path / "run", code=7, end_after=5, **first[1], **how)
    found = start(then[0], tmp_path / "run", **then[1], **how)
    assert "step 0:" not in found, found  # it went on
    whole, run = log(tmp_path / "whole"), log(tmp_path / "run")
    assert [row["step"] for row in run] == [row["step"] for row in whole] == [3, 6]
    same_logs(whole, run)
    same_weights(weights(tmp_path / "whole"), weights(tmp_path / "run"))


@pytest.mark.slow
def test_another_number_of_pairs_a_step_is_another_run(tmp_path):
    start(ALONE, tmp_path / "run", code=7, end_after=3, batch_size=8)
    found = start(TORCHRUN, tmp_path / "run", code=2, batch_size=8)
    assert "holds another run (it differs in items a step: there 8, here 16)" in found


@pytest.mark.slow
def test_weights_from_a_folder_are_read_by_the_first_process_alone(tmp_path):
    """The others have shapes and addresses, and no numbers, until each gets its share."""
    model = tiny_model(tied=False)
    model.save_pretrained(tmp_path / "model")
    tiny_tokenizer().save_pretrained(tmp_path / "model")
    how = {"source": str(tmp_path / "model"), "dtype": "float32"}
    start(ALONE, tmp_path / "one", batch_size=8, **how)
    found = start(TORCHRUN, tmp_path / "two", batch_size=4, fsdp=True, devices=True, **how)
    assert "process 0 reads weights" in found and "process 1 reads weights" not in found
    same_logs(log(tmp_path / "one"), log(tmp_path / "two"))
    same_weights(weights(tmp_path / "one"), weights(tmp_path / "two"))


@pytest.mark.slow
def test_a_refusal_by_the_first_process_is_that_of_all(tmp_path):
    model = tiny_model()
    with torch.no_grad():
        model.model.norm.weight[0] = float("nan")
    model.save_pretrained(tmp_path / "model")
    tiny_tokenizer().save_pretrained(tmp_path / "model")
    found = start(TORCHRUN, tmp_path / "run", code=2, fsdp=True, source=str(tmp_path / "model"), dtype="float32")
    assert "is damaged: model.norm.weight is not finite" in found
