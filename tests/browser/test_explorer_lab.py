"""The explorer in JupyterLab: a made-up sweep with hostile texts, and notebook 08 with the shipped one."""

import json
from pathlib import Path

import nbformat
import pytest

from safedpo import household
from safedpo.errors import visible
from safedpo.files import shipped
from safedpo.show import explorer
from tests.browser.chromium import open_lab
from tests.browser.explorer_page import SHIPPED, keep, move_everything, needs_the_shipped_sweep
from tests.show.synthetic import HOSTILE, score, sweep, synthetic_explorer

pytestmark = [pytest.mark.browser, pytest.mark.slow]

NOTEBOOK = shipped("notebooks") / "08_the_safety_margin.ipynb"


def test_a_made_up_sweep_with_hostile_texts(tmp_path):
    here = f"import sys; sys.path.insert(0, {str(Path(__file__).parents[1] / 'show')!r})"
    hostile = "from safedpo.show import tokens\ntokens(list(HOSTILE.values()), [1.0] * len(HOSTILE), beta=0.1)"
    cells = [here, "from synthetic import HOSTILE, synthetic_explorer\nsynthetic_explorer()", hostile]
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    book.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(book, tmp_path / "explorer.ipynb")
    with open_lab(tmp_path / "explorer.ipynb", height=1150) as lab:
        (shown,) = lab.sliders()
        move_everything(shown, synthetic_explorer(), sweep(), score)
        keep(lab.page, "explorer-lab")
        outputs = lab.page.locator(".jp-OutputArea-output")
        assert outputs.locator("img, a, h1, mjx-container, .MathJax").count() == 0
        read = outputs.last.inner_text()
        assert all(word in read for text in HOSTILE.values() for word in visible(text).split())
        assert lab.page.evaluate("window.broken") is None
        assert lab.page.locator(".jp-CodeCell.jp-mod-selected").count() <= 1  # the keys stayed with the controls
        assert not lab.elsewhere


@needs_the_shipped_sweep
@pytest.mark.skipif(not NOTEBOOK.exists(), reason=f"no {NOTEBOOK.name}")
def test_notebook_08_in_jupyterlab(monkeypatch):
    monkeypatch.setenv("SAFEDPO_FAST", "1")
    content = json.loads(SHIPPED.read_text(encoding="utf-8"))
    with open_lab(NOTEBOOK, height=1150) as lab:
        shown = lab.sliders()[0]
        move_everything(shown, explorer(content, household.score), content, household.score)
        keep(lab.page, "notebook-08")
        assert not lab.elsewhere
