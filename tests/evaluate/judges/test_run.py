"""Judging: verdicts stored, resumed where they stopped, never mixed with those of another judge, both orders asked."""

import json

import pytest

from safedpo.errors import UserError
from safedpo.evaluate.judges import run as module
from safedpo.evaluate.judges.ask import Reply
from safedpo.evaluate.judges.run import Item, judge_all, read_verdicts, tasks
from safedpo.evaluate.judges.wordings import OUT_OF_FORMAT, read_wordings
from safedpo.files import exclusive

WORDINGS = read_wordings()
SINGLE = [Item(f"prompt {i}", f"response {i}") for i in range(40)]
PAIRS = [Item(f"prompt {i}", f"good {i}", f"bad {i}") for i in range(5)]


class Judge:
    """Says yes, no and something else in turn, by what it is asked; stops answering after so many questions."""

    def __init__(self, most: int = 10**9):
        self.asked: list[str] = []
        self.most = most

    def __call__(self, texts):
        if len(self.asked) + len(texts) > self.most:
            raise UserError("the judge does not answer")
        self.asked += texts
        return [Reply(("yes", "no", "who knows")[sum(map(ord, text)) % 3], 0.5, 7, 1) for text in texts]


def test_an_interrupted_run_asks_only_what_is_missing_and_ends_in_the_same_verdicts(tmp_path):
    whole = Judge()
    rows = judge_all(SINGLE, [WORDINGS["plain"]], "j", whole, tmp_path / "whole")
    assert len(whole.asked) == len(rows) == 40 and {row["verdict"] for row in rows} == {"safe", "unsafe", OUT_OF_FORMAT}
    broken = Judge(most=25)
    with pytest.raises(UserError, match="does not answer"):
        judge_all(SINGLE, [WORDINGS["plain"]], "j", broken, tmp_path / "broken")
    assert len(read_verdicts(tmp_path / "broken")) == 16  # a whole chunk is kept
    with (tmp_path / "broken" / "verdicts.jsonl").open("a") as file:
        file.write('{"wording": "pla')  # what a kill leaves of a line
    rest = Judge()
    again = judge_all(SINGLE, [WORDINGS["plain"]], "j", rest, tmp_path / "broken")
    assert len(rest.asked) == 24 and again == rows == read_verdicts(tmp_path / "broken")
    assert judge_all(SINGLE, [WORDINGS["plain"]], "j", Judge(most=0), tmp_path / "broken") == rows


def test_a_changed_response_or_wording_is_judged_again_and_a_further_wording_is_added(tmp_path):
    judge_all(SINGLE[:4], [WORDINGS["plain"]], "j", Judge(), tmp_path)
    changed = Judge()
    judge_all([*SINGLE[:3], Item("prompt 3", "another")], [WORDINGS["plain"]], "j", changed, tmp_path)
    assert len(changed.asked) == 1 and "another" in changed.asked[0]
    more = Judge()
    judge_all(SINGLE[:4], [WORDINGS["plain"], WORDINGS["strict"]], "j", more, tmp_path)
    assert len(more.asked) == 4
    assert set(json.loads((tmp_path / "judge.json").read_text())["wordings"]) == {"plain", "strict"}


def test_a_comparison_is_asked_in_both_orders(tmp_path):
    judge = Judge()
    rows = judge_all(PAIRS, [WORDINGS["helpful"]], "j", judge, tmp_path)
    assert len(rows) == 10 and [row["order"] for row in rows[:2]] == ["as is", "exchanged"]
    ahead, behind = judge.asked[:2]
    assert ahead.index("good 0") < ahead.index("bad 0") and behind.index("bad 0") < behind.index("good 0")


def test_what_does_not_fit_is_refused(tmp_path):
    with pytest.raises(UserError, match="helpful judges two responses"):
        tasks(SINGLE, [WORDINGS["helpful"]])
    with pytest.raises(UserError, match="plain judges one response"):
        tasks(PAIRS, [WORDINGS["plain"]])
    judge_all(SINGLE[:2], [WORDINGS["plain"]], "j", Judge(), tmp_path, about="a.jsonl")
    for name, about in (("other", "a.jsonl"), ("j", "b.jsonl")):
        with pytest.raises(UserError, match="holds verdicts of j on a.jsonl"):
            judge_all(SINGLE[:2], [WORDINGS["plain"]], name, Judge(), tmp_path, about=about)
    with exclusive(tmp_path), pytest.raises(UserError, match="another program is at work"):
        judge_all(SINGLE[:2], [WORDINGS["plain"]], "j", Judge(), tmp_path, about="a.jsonl")


@pytest.mark.parametrize("line", ["[]", "{}", "nonsense", '{"asked": 1}'])
def test_a_damaged_line_is_named(tmp_path, line):
    (tmp_path / "verdicts.jsonl").write_text(line + "\n")
    with pytest.raises(UserError, match="line 1 is damaged"):
        read_verdicts(tmp_path)
    with pytest.raises(UserError, match="holds no verdicts"):
        read_verdicts(tmp_path / "none")
    assert module.CHUNK == 16
