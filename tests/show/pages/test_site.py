"""Pages from notebooks, as text: what stands in them, what they may load, and the way from one to the next."""

import re

import nbformat
import pytest

from safedpo.errors import UserError
from safedpo.show.pages.site import build_site, page_body

V4 = nbformat.v4


def code(source, *outputs):
    return V4.new_code_cell(source, outputs=[*outputs])


def printed(text, name="stdout"):
    return V4.new_output("stream", name=name, text=text)


def shown(**data):
    return V4.new_output("display_data", {kind.replace("_", "/"): value for kind, value in data.items()})


def body(*cells, **how):
    return page_body(V4.new_notebook(cells=[*cells]), "lesson.ipynb", **how)


def notebook(folder, name, title):
    cells = [V4.new_markdown_cell(f"# {title}"), code("1 + 1", printed("2\n"))]
    nbformat.write(V4.new_notebook(cells=cells), folder / f"{name}.ipynb")
    return folder / f"{name}.ipynb"


def test_pages_are_linked_in_their_order_and_the_index_names_all(tmp_path):
    titles = {"00_first": "First & last", "01_second": "Second", "02_third": "Third"}
    paths = [notebook(tmp_path, name, title) for name, title in titles.items()]
    index, *pages = build_site(
        paths, tmp_path / "site", links={"Play": "play/index.html"}, whole={"Alone": "<p>alone</p>"}
    )
    text = index.read_text()
    assert re.findall(r'<li><a href="([^"]*)">([^<]*)</a>', text) == [
        ("00_first.html", "First &amp; last"),
        ("01_second.html", "Second"),
        ("02_third.html", "Third"),
        ("play/index.html", "Play"),
        ("alone.html", "Alone"),
    ]
    beside = [re.findall(r'href="([^"]*)"', page.read_text().split("</nav>")[0]) for page in pages[:3]]
    assert beside == [
        ["index.html", "01_second.html"],
        ["index.html", "00_first.html", "02_third.html"],
        ["index.html", "01_second.html"],
    ]
    assert pages[3].read_text() == "<p>alone</p>" and (tmp_path / "site" / "plotly.min.js").exists()


def test_what_a_cell_printed_piece_by_piece_is_one_piece():
    made = body(code("run()", printed("a"), printed("b\n"), printed("c", "stderr"), printed("d", "stderr")))
    assert re.findall(r'<pre class="printed">(.*?)</pre>', made, re.DOTALL) == ["ab\n", "cd"]


def test_colours_of_a_terminal_and_earlier_states_of_a_bar_are_left_out():
    made = body(code("run()", printed("10%|x\r100%|xxx\n\x1b[31mred\x1b[0m <b>")))
    assert "100%|xxx" in made and "10%|x\r" not in made and "red &lt;b&gt;" in made and "\x1b" not in made


def test_code_is_shown_as_text():
    assert "&lt;script&gt;" in body(code("x = '<script>'")) and body(code("   ")) == ""


def test_an_error_is_shown_with_its_traceback():
    error = V4.new_output("error", ename="ValueError", evalue="no", traceback=["\x1b[0;31mValueError\x1b[0m: no"])
    assert "ValueError: no" in body(code("raise", error))


@pytest.mark.parametrize("ours", [True, False])
def test_pictures_that_are_drawings_belong_to_us_alone(ours):
    made = body(
        code("draw()", V4.new_output("display_data", {"image/svg+xml": "<svg></svg>", "text/plain": "a drawing"})),
        ours=ours,
    )
    assert ("<svg>" in made) == ours and ("a drawing" in made) != ours


def test_a_stored_figure_is_drawn_and_a_damaged_one_named():
    bars = {"data": [{"type": "bar", "y": [1, 2]}], "layout": {}}
    kind = "application/vnd.plotly.v1+json"
    assert "safedpoSliders" in body(code("show()", V4.new_output("display_data", {kind: bars})))
    with pytest.raises(UserError, match=r"lesson\.ipynb, cell 1-0: the stored figure cannot be drawn"):
        body(code("show()", V4.new_output("display_data", {kind: {"data": [{"type": "no such"}], "layout": {}}})))


def test_a_damaged_notebook_is_named_before_the_first_is_run(tmp_path):
    ran = tmp_path / "ran"
    first = V4.new_notebook(cells=[V4.new_code_cell(f"open({str(ran)!r}, 'w').close()")])
    nbformat.write(first, tmp_path / "a.ipynb")
    (tmp_path / "b.ipynb").write_text("{")
    with pytest.raises(UserError, match=r"b\.ipynb is no notebook"):
        build_site([tmp_path / "a.ipynb", tmp_path / "b.ipynb"], tmp_path / "site")
    assert not ran.exists()
