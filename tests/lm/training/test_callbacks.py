"""What a person sees during a run: the rows of the log file, and a line that follows the steps."""

import io
import json
from types import SimpleNamespace

import pytest

from safedpo.errors import UserError
from safedpo.lm.training import callbacks
from safedpo.lm.training.callbacks import LiveLine, LogFile, log_text, read_log

ARGS = SimpleNamespace(process_index=0, logging_strategy="steps")
HISTORY = [{"loss": 3.0, "step": 1}, {"loss": 2.0, "step": 2}, {"train_runtime": 1.0}]


def state(step, **more):
    return SimpleNamespace(global_step=step, max_steps=4, log_history=HISTORY[:step], epoch=0.5, **more)


def log(handler, step, args=ARGS):
    handler.on_log(args, state(step), None, logs=HISTORY[step - 1] | {"step": step})


def test_rows_with_a_loss_are_written_and_come_back(tmp_path):
    (tmp_path / "log.jsonl").write_text(log_text(HISTORY))
    assert read_log(tmp_path) == HISTORY[:2]
    first = (tmp_path / "log.jsonl").read_text().splitlines()[0]
    assert list(json.loads(first)) == sorted(HISTORY[0])


def test_a_resumed_run_begins_with_what_its_checkpoint_knows(tmp_path):
    file = tmp_path / "log.jsonl"
    file.write_text("a row of the run that was killed\n" * 5)
    handler = LogFile(file)
    handler.on_train_begin(ARGS, state(2), None)
    assert read_log(tmp_path) == HISTORY[:2]


def test_a_row_an_epoch_is_due_before_the_epochs_checkpoint(tmp_path):
    handler = LogFile(tmp_path / "log.jsonl")
    every_epoch = SimpleNamespace(process_index=0, logging_strategy="epoch")
    for epoch, step, args, expected in (
        (1.0, 2, every_epoch, True),
        (0.5, 2, every_epoch, False),
        (0.5, 4, every_epoch, True),  # the last step
        (1.0, 2, ARGS, False),
    ):
        control = SimpleNamespace(should_save=True, should_log=False)
        at = SimpleNamespace(epoch=epoch, global_step=step, max_steps=4)
        assert handler.on_step_end(args, at, control).should_log == expected


@pytest.mark.parametrize(
    ("content", "words"), [('{"step": 1}\n{"st', "is damaged"), (None, "cannot read .*written by a run")]
)
def test_a_log_that_cannot_be_read_names_its_file(tmp_path, content, words):
    if content is not None:
        (tmp_path / "log.jsonl").write_text(content)
    with pytest.raises(UserError, match=rf"log\.jsonl.*{words}|{words}"):
        read_log(tmp_path)


def test_the_line_shows_loss_margin_and_step_and_only_one_process_draws_it(monkeypatch):
    screen, real = io.StringIO(), callbacks.tqdm
    monkeypatch.setattr(callbacks, "tqdm", lambda **how: real(**how, file=screen))
    line, silent = LiveLine(), LiveLine()
    line.on_train_begin(ARGS, state(1), None)
    silent.on_train_begin(SimpleNamespace(process_index=1), state(1), None)
    assert silent.bar is None and (line.bar.n, line.bar.total) == (1, 4)
    log(silent, 2)
    line.on_log(ARGS, state(2), None, logs={"loss": 2.0, "rewards/margins": 0.125, "grad_norm": 9.0})
    assert line.bar.n == 2 and "loss=2, margin=0.125" in str(line.bar) and "9" not in str(line.bar.postfix)
    line.on_train_end(ARGS, state(4), None)
    assert line.bar is None and "4/4" in screen.getvalue()
