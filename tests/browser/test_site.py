"""The site: pages from notebooks, formulas as MathML, opened from disk with the network off."""

import re
import threading
import xml.etree.ElementTree as ElementTree
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import nbformat
import pytest

from safedpo.errors import UserError
from safedpo.show.pages.foreign import is_ours
from safedpo.show.pages.playground import playground_page
from safedpo.show.pages.site import _write, build_site, mathml, page_body
from tests.browser.chromium import SliderOnPage, check_against, chromium
from tests.show.synthetic import synthetic_explorer

TEXT = r"""# A lesson & more

Inline $\pi^\ast(y\mid x)$ and a link to [the next](01_next.ipynb#top).

$$
\begin{aligned}
a &= \mathbb{E}[r] \\
  &= \frac{1}{Z}
\end{aligned}
$$

| β | KL |
|---|---|
| 1 | 2 |
"""


def cell(source, *data, text=None):
    made = nbformat.v4.new_code_cell(source)
    made.outputs = [nbformat.v4.new_output("execute_result", one, execution_count=1) for one in data]
    if text is not None:
        made.outputs.append(nbformat.v4.new_output("stream", name="stdout", text=text))
    return made


def write(folder: Path, name: str, *cells) -> Path:
    path = folder / name
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(TEXT), *cells]), path)
    return path


@pytest.mark.browser
def test_pages_open_from_disk_with_the_network_off(tmp_path, sliders):
    first = write(
        tmp_path,
        "00_first.ipynb",
        cell("figure", sliders["policies"]._repr_mimebundle_()),
        cell("figure", sliders["path"]._repr_mimebundle_()),
        cell("print('<b>')", text="\x1b[31m<b>\x1b[0m"),
    )
    second = write(tmp_path, "01_next.ipynb", cell("1 + 1", {"text/plain": "2"}))
    pages = build_site([first, second], tmp_path / "site")
    assert [page.name for page in pages] == ["index.html", "00_first.html", "01_next.html"]
    assert pages[1].stat().st_size < 300_000, "plotly.js belongs to the site, not to the page"
    assert (tmp_path / "site/plotly.min.js").stat().st_size < 6e6
    with chromium() as browser:
        page = browser.new_context(offline=True, viewport={"width": 900, "height": 900}).new_page()
        asked, failed = [], []
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: failed.append(str(error)))
        page.goto(pages[0].as_uri())
        page.get_by_role("link", name="A lesson & more").first.click()
        for number, name in enumerate(("policies", "path")):
            shown = SliderOnPage(page.locator(".safedpo").nth(number))
            shown.press("ArrowRight", 2)
            check_against(shown, sliders[name])
        # The two lines of the aligned formula start their right sides at the same place.
        cells = page.locator("math[display=block] mtr").evaluate_all(
            "rows => rows.map(r => r.children[1].getBoundingClientRect().left)"
        )
        assert len(cells) == 2 and abs(cells[0] - cells[1]) < 1
        assert page.locator("pre.printed").inner_text().strip() == "<b>"
        page.get_by_role("link", name="the next").click()
        assert page.url.endswith("01_next.html#top") and page.locator("pre.printed").inner_text().strip() == "2"
        assert not failed and all(url.startswith("file:") for url in asked), (failed, asked)


@pytest.mark.browser
def test_a_figure_has_a_page_of_its_own_among_the_lessons(tmp_path, sliders):
    lesson = write(tmp_path, "00_first.ipynb", cell("1 + 1", {"text/plain": "2"}))
    figures = {"Paths & margins": sliders["path"], "The explorer": synthetic_explorer()}
    pages = build_site([lesson], tmp_path / "site", figures=figures)
    assert [page.name for page in pages] == ["index.html", "00_first.html", "paths-margins.html", "the-explorer.html"]
    with chromium() as browser:
        page = browser.new_context(offline=True, viewport={"width": 900, "height": 900}).new_page()
        asked, failed = [], []
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: failed.append(str(error)))
        page.goto(pages[0].as_uri())
        for title, figure in figures.items():
            page.get_by_role("link", name=title).first.click()
            assert page.locator("h1").inner_text() == title
            shown = SliderOnPage(page.locator(".safedpo"))
            shown.press("ArrowRight")
            shown.press("ArrowLeft", number=1)
            check_against(shown, figure)
            page.get_by_role("link", name="All lessons").click()
        assert not failed and all(url.startswith("file:") for url in asked), (failed, asked)


@pytest.mark.browser
def test_a_page_that_stands_by_itself_is_written_as_it_is_and_linked(tmp_path):
    lesson = write(tmp_path, "00_first.ipynb", cell("1 + 1", {"text/plain": "2"}))
    whole = {"The playground": playground_page(home="index.html")}
    pages = build_site([lesson], tmp_path / "site", whole=whole)
    assert [page.name for page in pages] == ["index.html", "00_first.html", "the-playground.html"]
    assert pages[2].read_text(encoding="utf-8") == whole["The playground"]
    with chromium() as browser:
        page = browser.new_context(offline=True, locale="en-US").new_page()
        page.goto(pages[0].as_uri())
        page.get_by_role("link", name="The playground").click()
        assert page.locator("h1").inner_text() == "SafeDPO playground"
        page.get_by_role("button", name="Play").click()
        page.wait_for_function("() => safedpoPlayground.numbers().step > 3")
        page.get_by_role("link", name="All lessons").click()
        assert page.locator("h1").inner_text() == "SafeDPO, step by step"


def test_a_notebook_without_outputs_is_run_first(tmp_path):
    path = write(tmp_path, "run.ipynb", nbformat.v4.new_code_cell("print(6 * 7)"))
    page = build_site([path], tmp_path / "site")[1].read_text()
    assert '<pre class="printed">42' in page
    path = write(tmp_path, "fail.ipynb", nbformat.v4.new_code_cell("1 / 0"))
    with pytest.raises(UserError, match="fail.ipynb stopped with ZeroDivisionError"):
        build_site([path], tmp_path / "site")


def test_every_formula_of_the_lessons_becomes_well_formed_mathml():
    notebooks = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))
    assert notebooks
    count = 0
    for path in notebooks:
        lesson = nbformat.read(path, as_version=4)
        lesson.cells = [part for part in lesson.cells if part.cell_type == "markdown"]
        made = re.findall(r"<math.*?</math>", page_body(lesson, path.name), re.DOTALL)
        for formula in made:
            ElementTree.fromstring(formula)
        count += len(made)
    assert count > 50


def test_of_a_progress_bar_the_last_state_is_kept():
    printed = cell("x", text="go\n\r 1%|a\r 50%|ab")
    printed.outputs.append(nbformat.v4.new_output("stream", name="stdout", text="\r100%|abc\ndone\r\n"))
    page = page_body(nbformat.v4.new_notebook(cells=[printed]), "lesson")
    assert "100%|abc\ndone" in page and "50%" not in page and "go" in page


@pytest.mark.parametrize(
    "formula, words", [(r"\nonsense x", "nonsense"), (r"\left( x", "is not LaTeX"), ("a & b", "'&'")]
)
def test_what_mathml_cannot_say_raises_with_its_place(formula, words):
    with pytest.raises(UserError, match=f"lesson, cell 3.*{words}"):
        mathml(formula, "lesson, cell 3", display=True)


@pytest.mark.parametrize(
    "output",
    [
        '<script src="https://cdn.plot.ly/x.js"></script>',
        "<img src=//elsewhere.org/a.png>",
        "<style>@import 'http://fonts.org/a.css'</style>",
        '<link rel="stylesheet" href="https://a.org/b.css">',
        "<p style='background: url(//a.org/b.png)'>",
        "<svg><image xlink:href='https://a.org/b.png'/></svg>",
    ],
)
def test_a_page_that_would_load_from_elsewhere_is_refused(output):
    lesson = nbformat.v4.new_notebook(cells=[cell("x", {"text/html": output})])
    with pytest.raises(UserError, match="from elsewhere"):
        page_body(lesson, "lesson", ours=True)


@pytest.mark.parametrize(
    "output",
    [
        "<p>&lt;img src=https://a.org/b.png&gt; url(https://a.org)</p>",
        '<a href="https://a.org">a link</a>',
        "<script>const text = 'src=https://a.org/b.png url(https://a.org)'</script>",
        "<img src='data:image/png;base64,AA=='>",
    ],
)
def test_an_address_that_is_only_written_is_no_load(output):
    lesson = nbformat.v4.new_notebook(cells=[cell("x", {"text/html": output})])
    assert output in page_body(lesson, "lesson", ours=True)


def test_no_notebooks_or_two_of_one_name_raise(tmp_path):
    with pytest.raises(UserError, match="different names"):
        build_site([], tmp_path)
    with pytest.raises(UserError, match="different names"):
        build_site(["a/x.ipynb", "b/x.ipynb"], tmp_path)
    with pytest.raises(UserError, match="there is no notebook"):
        build_site([tmp_path / "none.ipynb"], tmp_path / "site")


def test_controls_that_need_python_are_named_and_progress_bars_are_left_out():
    view = "application/vnd.jupyter.widget-view+json"
    shown = [
        nbformat.v4.new_output("display_data", {view: {"model_id": "1"}, "text/plain": text})
        for text in (
            "blend error:   0%|          | 0/8 [00:00<?, ?response/s]",
            "VBox(children=(RadioButtons(options=...",
        )
    ]
    pages = [
        page_body(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("run()", outputs=[one])]), "lesson")
        for one in shown
    ]
    assert ["controls that need Python" in page for page in pages] == [False, True]
    assert "note" not in pages[0] and "response/s" not in pages[0]


HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg onload=alert(1)></svg>",
    "<svg><script>alert(1)</script></svg>",
    "<math><mtext></mtext><script>alert(1)</script></math>",
    "<iframe srcdoc='<script>alert(1)</script>'></iframe>",
    "<iframe src='http://127.0.0.1:9/x'></iframe>",
    "<meta http-equiv=refresh content='0;url=http://127.0.0.1:9/x'>",
    "<style>p{background:image-set('http://127.0.0.1:9/x' 1x)}</style><p>x</p>",
    '<p style="background:u\\72l(http://127.0.0.1:9/x)">x</p>',
    "<p style='background:url(http://127.0.0.1:9/x)'>x</p>",
    "<img src='http:\\\\127.0.0.1:9\\x'>",
    "<IMG SRC='HT\tTP://127.0.0.1:9/x'>",
    "<link rel=stylesheet href=http://127.0.0.1:9/x>",
    "<link rel=dns-prefetch href=//127.0.0.1:9>",
    "<object data=http://127.0.0.1:9/x></object>",
    "<embed src=http://127.0.0.1:9/x>",
    "<video poster=http://127.0.0.1:9/x></video>",
    "<audio src=http://127.0.0.1:9/x autoplay></audio>",
    "<form action=http://127.0.0.1:9/x><input autofocus onfocus=alert(1)></form>",
    "<base href=http://127.0.0.1:9/><img src=x>",
    "<body onload=alert(1)>",
    "<details open ontoggle=alert(1)>",
    "<a href='javascript:alert(1)' id=go>x</a>",
    "<template><script>alert(1)</script></template>",
    "<!--><script>alert(1)</script>-->",
    "<noscript><p title='</noscript><script>alert(1)</script>'></noscript>",
    '<div id=safedpo><script>(function(){})(document.getElementById("x"), {"a": alert(1)});</script></div>',
]


def foreign(tmp_path):
    """A notebook that brings each of the payloads as an output, in its markdown and in a picture."""
    outputs = [{"text/html": text, "text/plain": "plain text"} for text in HOSTILE]
    outputs += [{"image/svg+xml": text} for text in HOSTILE[:4]]
    outputs += [{"image/png": '"><script>alert(1)</script><img src="'}, {"image/png": "AAAA"}, {"image/jpeg": ["x"]}]
    cells = [cell("shown", *outputs), *(nbformat.v4.new_markdown_cell(text) for text in HOSTILE if "src=" not in text)]
    path = tmp_path / "00_foreign.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    return path


def test_what_a_foreign_notebook_brings_is_shown_as_text(tmp_path):
    page = build_site([foreign(tmp_path)], tmp_path / "site")[1].read_text()
    assert "Content-Security-Policy" in page and page.index("Content-Security-Policy") < page.index("<style")
    body = page[page.index("<body>") :]
    for sign in ("<script", "<svg", "<iframe", "<object", "<meta", "<form", "<base", " onerror=alert(1)>", "<style"):
        assert sign not in body.lower(), sign
    assert body.count("plain text") == len(HOSTILE)


def test_a_slider_of_ours_is_shown_also_from_a_stored_output_and_nothing_that_only_resembles_it(sliders):
    whole = sliders["path"].html("name")
    assert is_ours(whole) and is_ours(synthetic_explorer().html("name"))
    for old, new in (
        ("<script>", "<script>alert(1);"),
        ("</script>", "</script><script>alert(1)</script>"),
        ('"sentences"', '"sentences": alert(1), "x"'),
        ("<style>", "<style>@import 'http://a.org/x';"),
        ('class="plot"', 'class="plot" onclick="alert(1)"'),
        ("<div", "<iframe></iframe><div"),
    ):
        assert old in whole and not is_ours(whole.replace(old, new, 1)), new


@pytest.mark.browser
def test_the_policy_of_a_page_stops_scripts_and_requests_that_are_in_it_all_the_same(tmp_path):
    """Each payload on a page that was written as if it were ours: the browser runs none and asks nobody."""
    # The policy is that of the page without the payload: a script that came in later has no hash in it.
    pages = [_write(tmp_path / f"{i}.html", "page", "<p>lesson</p>") for i in range(len(HOSTILE))]
    for one, text in zip(pages, HOSTILE, strict=True):
        one.write_text(one.read_text().replace("<p>lesson</p>", f"<p>lesson</p>{text}"))
    with listening() as (port, hits), chromium() as browser:
        page = browser.new_context(viewport={"width": 900, "height": 900}).new_page()
        said = []
        page.on("dialog", lambda dialog: (said.append(dialog.message), dialog.dismiss()))
        for one, text in zip(pages, HOSTILE, strict=True):
            if "refresh" in text:  # no policy can forbid a page to leave: such a tag is shown as text, see above
                continue
            one.write_text(one.read_text().replace("127.0.0.1:9", f"127.0.0.1:{port}"))
            page.goto(one.as_uri())
            if page.locator("#go").count():
                page.locator("#go").click()
            page.wait_for_timeout(50)
        assert not said and not hits
        page.goto(f"http://127.0.0.1:{port}/x")
        assert hits  # the ear was open


@contextmanager
def listening():
    """A server on this machine that notes every path it is asked for: (port, paths)."""
    hits = []

    class Note(BaseHTTPRequestHandler):
        def do_GET(self):
            hits.append(self.path)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *given):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Note)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_address[1], hits
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
