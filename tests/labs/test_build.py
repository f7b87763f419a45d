"""One percent source, two notebooks: solutions kept or stubbed, the set-up cell and the links put in, nothing stored."""

import json

import nbformat
import pytest

from safedpo.errors import UserError
from safedpo.labs import setup
from safedpo.labs.build import build_all, drifted, notebook, write_all

SOURCE = '''\
# %% [markdown]
# # 01 · Title
# <!-- links -->

# %%
# SET-UP

# %%
def f(x):
    """Twice x."""
    if True:
        ### BEGIN SOLUTION
        y = 2 * x
        return y
        ### END SOLUTION


# %%
check("f", f)
'''


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "01_title.py").write_text(SOURCE, encoding="utf-8")
    return tmp_path


def cells(text):
    return ["".join(cell["source"]) for cell in json.loads(text)["cells"]]


def test_the_complete_notebook_keeps_the_code_and_loses_the_marks():
    code = cells(notebook(SOURCE, student=False))[2]
    assert code.endswith("    if True:\n        y = 2 * x\n        return y") and "SOLUTION" not in code


def test_the_student_s_gets_a_stub_at_the_depth_of_the_solution():
    code = cells(notebook(SOURCE, student=True))[2]
    assert code.endswith("    if True:\n        # YOUR CODE HERE\n        raise NotImplementedError")
    assert '"""Twice x."""' in code and "2 * x" not in code


def test_the_set_up_cell_and_the_links_are_put_in(folder):
    complete, student = build_all(folder, "https://github.com/owner/kit")
    assert "git+https://github.com/owner/kit" in cells(complete.text)[1]
    assert "colab.research.google.com/github/owner/kit/blob/main/notebooks/01_title.ipynb" in cells(complete.text)[0]
    assert "notebooks/student/01_title.ipynb" in cells(student.text)[0]
    without = build_all(folder)[0]
    assert cells(without.text)[0] == "# 01 · Title" and cells(without.text)[1] == setup.cell().strip()


def test_notebooks_are_valid_store_nothing_and_are_the_same_every_time():
    text = notebook(SOURCE, student=False)
    book = nbformat.reads(text, as_version=4)
    nbformat.validate(book)
    assert text == notebook(SOURCE, student=False)
    assert len({cell.id for cell in book.cells}) == len(book.cells)
    assert all(cell.outputs == [] and cell.execution_count is None for cell in book.cells if cell.cell_type == "code")


def test_drift_is_seen_and_mended(folder):
    assert [path.name for path in write_all(folder)] == ["01_title.ipynb"] * 2
    assert write_all(folder) == [] and drifted(folder) == []
    changed = folder / "student" / "01_title.ipynb"
    changed.write_text(changed.read_text().replace("Twice", "Thrice"))
    assert [item.path for item in drifted(folder)] == [changed]


def test_a_solution_that_never_ends_and_a_folder_without_sources(tmp_path):
    with pytest.raises(UserError, match="without ### END SOLUTION"):
        notebook(SOURCE.replace("### END SOLUTION", ""), student=True)
    with pytest.raises(UserError, match="holds no NN_name.py"):
        build_all(tmp_path)
