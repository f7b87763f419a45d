"""Reports on a terminal: a model's text cannot steer it, and eighty columns cut nothing off."""

import io
import re

import pytest
from rich.console import Console

from safedpo.evaluate.display import overall_table, print_report, samples_table, shown
from safedpo.evaluate.report import METRICS, EvaluationReport, judge
from safedpo.evaluate.scorers import HOUSEHOLD
from tests.evaluate.responses import request_pair, said


@pytest.mark.parametrize("text", ["\x1b[31mred\x1b[0m", "\x1b]0;title\x07", "a\rb", "\x9b2J", "\u202eback", "\u2066x"])
def test_a_models_text_cannot_steer_the_terminal(text):
    console = Console(file=io.StringIO(), force_terminal=True, color_system="truecolor", width=80)
    console.print(shown(text))
    assert not set(console.file.getvalue()) & set("\x1b\x07\r\x9b\u202e\u2066")


def test_markup_in_a_response_stays_text_and_tables_show_both_models():
    risky, harmless = request_pair()
    one = judge([said(risky, "[bold]loud[/bold] [/]", greedy=None), said(harmless, "\x1b[2J")], HOUSEHOLD)
    report = EvaluationReport(one, one, {"prompts": 2, "data": "x", "samples": 1})
    console = Console(file=io.StringIO(), width=200)
    console.print(samples_table(report))
    print_report(report, console)
    out = console.file.getvalue()
    assert "[bold]loud[/bold] [/]" in out and "\\x1b[2J" in out and "\x1b" not in out
    assert (
        {"policy", "reference", "sampled"} < set(out.split())
        and "greedy" not in out
        and overall_table(report).row_count == 2
    )


def test_eighty_columns_cut_nothing_off():
    risky, harmless = request_pair()
    one = judge([said(risky, "Hm.", greedy="Hm."), said(harmless, "Hm.", greedy="Hm.")], HOUSEHOLD)
    report = EvaluationReport(one, one, {"prompts": 2, "data": "x", "samples": 1})
    console = Console(file=io.StringIO(), width=80)
    print_report(report, console)
    out = console.file.getvalue()
    assert "…" not in out and max(map(len, out.splitlines())) <= 80
    assert {"policy", "reference", "sampled", "greedy"} < set(out.split())
    intervals = len(METRICS) * 4 + 2 * 2 * len(one.topics)  # four rows, and harm and helpfulness of two models by topic
    assert len(re.findall(r"\[\d\.\d{3}, \d\.\d{3}\]", out)) == intervals
