"""What is no notebook is named, for pages and for grading alike."""

import nbformat
import pytest

from safedpo.errors import UserError
from safedpo.files.notebooks import read_notebook

V4 = nbformat.v4


def test_what_was_written_is_read(tmp_path):
    nbformat.write(V4.new_notebook(cells=[V4.new_code_cell("1 + 1")]), tmp_path / "a.ipynb")
    assert [cell.source for cell in read_notebook(tmp_path / "a.ipynb").cells] == ["1 + 1"]


@pytest.mark.parametrize(
    "content", ["", "{", "{}", "[]", "3", "not json", '{"cells": 3}', '{"nbformat": 4, "cells": [3]}']
)
def test_what_is_no_notebook_is_named(tmp_path, content):
    (tmp_path / "a.ipynb").write_text(content)
    with pytest.raises(UserError, match=r"a\.ipynb is no notebook .*save it again in Jupyter"):
        read_notebook(tmp_path / "a.ipynb")


def test_nothing_and_a_folder_are_named(tmp_path):
    with pytest.raises(UserError, match=r"there is no notebook .*b\.ipynb"):
        read_notebook(tmp_path / "b.ipynb")
    with pytest.raises(UserError, match=r"give the path of an \.ipynb file"):
        read_notebook(tmp_path)
