"""The paper's values: every table is there once, rows fit their metrics, and a few values as they were read."""

import math

from safedpo.evaluate.paper.published import published, versions


def test_each_table_stands_once_and_its_rows_fit():
    tables = published()
    assert len({table.id for table in tables}) == len({table.v2 for table in tables}) == len(tables)
    for table in tables:
        assert table.rows and table.title and table.setting
        for values in table.rows.values():
            assert len(values) == len(table.metrics)
            assert all(value is None or math.isfinite(value) for value in values)
    named = " ".join(table.v2 for table in tables)
    for number in (*range(1, 6), *range(6, 9), *range(9, 19)):
        assert f"Table {number}" in named or f"and {number}" in named or f"Tables {number}" in named, number


def test_values_as_they_were_read_and_what_follows_from_them():
    by_id = {table.id: table for table in published()}
    assert (
        by_id["fig-2a"].value("SFT", "helpfulness") == 0 and by_id["fig-2a"].value("DPO-HELPFUL", "helpfulness") == 10
    )
    assert by_id["table-3"].value("SafeDPO", "over-refusal") == 12.4
    time = by_id["table-15"]
    assert round(time.value("SafeRLHF", "seconds") / time.value("SafeDPO", "seconds"), 1) == 25.4


def test_the_first_version_s_number_is_given_where_it_is_known():
    assert dict(versions())["Fig. 3"] == "Fig. 4" and dict(versions())["Table 3"] == "not known"
