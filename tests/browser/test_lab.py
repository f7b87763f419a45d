"""JupyterLab in a real Chromium: the reading slider and the computing one, by keyboard and by mouse."""

import sys
from pathlib import Path

import nbformat
import pytest

from tests.browser.chromium import check_against, open_lab

pytestmark = [pytest.mark.browser, pytest.mark.slow]

READING = "from gallery import gallery\nfrom safedpo.show import slider\nfunction, stops = gallery()['path']\n"
COMPUTING = """
from tests.show.gallery import gallery
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


# From a key to the changed sentence, and to the finished picture, in milliseconds by the page's own clock.
STOPWATCH = """
() => {
  let begin = 0, said = document.querySelector('.jp-OutputArea [role=status]').textContent;
  window.waits = {sentence: [], picture: []};
  document.querySelector('.js-plotly-plot').on('plotly_afterplot', () => window.waits.picture.push(performance.now() - begin));
  document.addEventListener('keydown', () => { begin = performance.now(); }, true);
  new MutationObserver(() => {
    const now = document.querySelector('.jp-OutputArea [role=status]')?.textContent;
    if (now && now !== said) { said = now; window.waits.sentence.push(performance.now() - begin); }
  }).observe(document.body, {childList: true, subtree: true, characterData: true});
}
"""


def test_a_computing_slider_in_lab(tmp_path, sliders):
    figure = sliders["policies"]
    with open_lab(notebook(tmp_path, COMPUTING)) as lab:
        page = lab.page
        page.locator(".jp-OutputArea .js-plotly-plot .bars path").first.wait_for()
        page.locator(".jp-OutputArea [role=slider]").first.focus()
        page.evaluate(STOPWATCH)
        place, last = figure.stops[0].start, len(figure.stops[0].values) - 1
        keys = ["ArrowRight"] * (last - place) + (["ArrowLeft"] * last + ["ArrowRight"] * last) * 3
        for key in keys[:40]:
            place += 1 if key == "ArrowRight" else -1
            page.keyboard.press(key)
            page.locator("[role=status]", has_text=figure.sentence(place)).wait_for()
            expected = next(
                v for m, v in zip(figure.frames.moved, figure.frames.values[place], strict=True) if m == (2, "y")
            )
            page.wait_for_function(
                "y => [...document.querySelector('.js-plotly-plot')._fullData[2].y].every((v, i) => "
                "Math.abs(v - y[i]) <= 1e-6 * Math.abs(y[i]))",
                arg=expected,
            )
        for what, waits in page.evaluate("window.waits").items():
            assert len(waits) == 40, what
            waits.sort()
            print(f"key to {what}: median {waits[20]:.0f} ms, 95th percentile {waits[37]:.0f} ms", file=sys.stderr)
