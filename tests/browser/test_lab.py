"""JupyterLab in a real Chromium: the reading slider and the computing one, by keyboard and by mouse."""

import sys
import time
from pathlib import Path

import nbformat
import pytest
from chromium import check_against, open_lab

pytestmark = [pytest.mark.browser, pytest.mark.slow]

READING = "from gallery import gallery\nfrom safedpo.show import slider\nfunction, stops = gallery()['path']\n"
COMPUTING = """
from gallery import gallery
from safedpo.show import live
function, stops = gallery()['policies']
box = live(function, *stops)
box
"""


def notebook(folder: Path, *cells: str) -> Path:
    path = folder / "figures.ipynb"
    here = f"import sys; sys.path.insert(0, {str(Path(__file__).parents[1] / 'show')!r})"
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text.strip()) for text in (here, *cells)])
    made.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(made, path)
    return path


def test_a_reading_slider_in_lab(tmp_path, sliders):
    figure = sliders["path"]
    with open_lab(notebook(tmp_path, READING + "figure = slider(function, *stops)\nfigure", "figure")) as lab:
        first, second = lab.sliders()
        for shown in (second, first):
            for number, key in enumerate(("ArrowRight", "ArrowLeft")):
                before = shown.places()
                shown.press(key, number=number)
                assert shown.places()[number] == before[number] + (1 if key == "ArrowRight" else -1)
                check_against(shown, figure)
                shown.drag(1.0, number=number)
                assert shown.places()[number] == len(figure.stops[number].values) - 1
                check_against(shown, figure)
        assert not lab.elsewhere


def test_a_computing_slider_in_lab(tmp_path, sliders):
    figure = sliders["policies"]
    with open_lab(notebook(tmp_path, COMPUTING)) as lab:
        page = lab.page
        page.locator(".jp-OutputArea .js-plotly-plot .bars path").first.wait_for()
        handle, sentence = page.locator(".jp-OutputArea [role=slider]").first, page.locator("[role=status] >> text=At β")
        place, waits = figure.stops[0].start, []
        handle.focus()
        for key, step in [("ArrowRight", 1)] * 3 + [("ArrowLeft", -1)] * 4:
            place += step
            begin = time.monotonic()
            page.keyboard.press(key)
            page.locator("[role=status]", has_text=figure.sentence(place)).wait_for()
            waits.append(time.monotonic() - begin)
            page.wait_for_timeout(100)
            heights = page.locator(".js-plotly-plot").evaluate("p => [...p._fullData[2].y]")
            expected = next(v for m, v in zip(figure.frames.moved, figure.frames.values[place], strict=True)
                            if m == (2, "y"))
            assert heights == pytest.approx(expected, rel=1e-6)
        assert sentence.count() == 1
        print("seconds from key to sentence:", [round(wait, 3) for wait in waits], file=sys.stderr)
