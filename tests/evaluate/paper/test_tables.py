"""The tables: every line of the paper is there, a cell comes from its own world and scale, and every gap says why."""

from safedpo.evaluate.paper.published import published
from safedpo.evaluate.paper.stored_runs import Cell
from safedpo.evaluate.paper.tables import lines, markdown

WORLD = {
    ("SafeDPO", "harmless ratio"): Cell(97.0, 96.0, 98.0, "a small model"),
    ("table-14", "SafeDPO", "networks"): Cell(2.0, None, None, "counted"),
}


def test_every_method_and_metric_of_the_paper_has_a_line_with_a_value_or_a_reason():
    found = lines({"ours": WORLD, "nothing": {}})
    assert len(found) == sum(len(table.rows) * len(table.metrics) for table in published())
    for line in found:
        assert all(cell.value is not None or cell.why for cell in line.cells.values())
        assert line.paper == line.table.value(line.method, line.metric)


def test_a_value_goes_to_tables_of_its_own_scale_only():
    by_key = {(line.table.id, line.method, line.metric): line.cells["ours"] for line in lines({"ours": WORLD})}
    assert (
        by_key["fig-2a", "SafeDPO", "harmless ratio"].value
        == by_key["table-3", "SafeDPO", "harmless ratio"].value
        == 97
    )
    assert by_key["fig-2b", "SafeDPO", "harmless ratio"].value is None  # GPT-4's ratio is another thing
    assert (
        by_key["table-14", "SafeDPO", "networks"].value == 2
        and by_key["table-14", "SafeRLHF", "networks"].value is None
    )
    assert "not measured" in by_key["fig-2a", "SafeDPO", "harmlessness"].why
    assert "not run" in by_key["fig-2a", "SACPO", "harmlessness"].why


def test_an_own_run_adds_rows_and_none_of_the_paper_s_values():
    own = {
        "runs/mine|x": {
            "harmless ratio": Cell(90.0, 85.0, 95.0, "model m"),
            "helpfulness (raw reward)": Cell(1.5, None, None, "m"),
        }
    }
    found = lines({"ours": WORLD}, own)
    rows = [line for line in found if line.method.startswith("own run")]
    assert {(line.table.id, line.metric) for line in rows} == {
        ("fig-2a", "harmless ratio"),
        ("fig-2a", "helpfulness (raw reward)"),
        ("table-3", "harmless ratio"),
    }
    text = markdown(found)
    assert "| own run: runs/mine\\|x | harmless ratio |  |  | 90.00 [85.00, 95.00] |" in text
    assert "- own run: model m" in text and "not found" in text and "97.00 [96.00, 98.00]" in text


def test_the_table_changes_with_the_result():
    changed = dict(WORLD) | {("SafeDPO", "harmless ratio"): Cell(12.0, None, None, "a small model")}
    before, after = (markdown(lines({"ours": world})) for world in (WORLD, changed))
    assert "97.00" in before and "97.00" not in after and "12.00" in after
