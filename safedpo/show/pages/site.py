"""The lessons as pages: executed notebooks with MathML formulas and working sliders, readable with the network off.

One plotly.min.js serves the whole site; pages name no other address for a script, style, font or picture.
"""

import html
import re
from collections.abc import Mapping, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import plotly.offline

from safedpo.errors import UserError, brief
from safedpo.files import check_writable, write_text, writing
from safedpo.files.notebooks import read_notebook
from safedpo.show.pages.foreign import is_ours, picture
from safedpo.show.pages.policy import policy
from safedpo.show.pages.prose import markdown, mathml
from safedpo.show.sliders.slider import Slider, still
from safedpo.show.style import asset, escape

__all__ = ["build_site", "mathml", "page_body"]
LIBRARY = "plotly.min.js"
_PACKED_LIBRARY = re.compile(r'<script data-safedpo="plotly">.*?</script>', re.DOTALL)
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")  # of a terminal
_PROGRESS = re.compile(r"\d+%\|")  # what a progress bar prints of itself
_IN_STYLE = re.compile(r"""(?:url\(|@import)\s*["']?\s*([^\s"')]+)""")


def build_site(
    notebooks: Sequence[str | Path],
    out: str | Path,
    *,
    figures: Mapping[str, Slider] | None = None,
    links: Mapping[str, str] | None = None,
    whole: Mapping[str, str] | None = None,
    timeout: float = 600,
) -> list[Path]:
    """Write one page per notebook, one per figure (by its title), an index and one plotly.min.js into the folder `out`.

    `whole` holds pages that stand by themselves, by title: they are written as they are, and the index links to them, as it
    does to `links`, addresses within `out` by title. Returns the pages, the index first.

    A notebook without stored outputs is run first, in its own folder, at most `timeout` seconds a cell; a progress
    bar counts notebooks. Needs the `lab` extra and latex2mathml.

    Raises:
        UserError: no page at all, a missing package, a cell that fails, a formula MathML cannot say, two notebooks of
            one name, or a page that would load something from elsewhere; the message names notebook and cell.
    """
    paths, out = [Path(one) for one in notebooks], Path(out)
    names = [path.stem for path in paths]
    if not (paths or whole) or len(set(names)) < len(names):
        raise UserError(f"a site needs a page that stands by itself, or notebooks with different names; got {names}")
    check_writable(out)
    bodies = _lessons(paths, timeout)
    for title, figure in (figures or {}).items():
        name = re.sub(r"\W+", "-", title.lower())
        bodies[name] = f"<h1>{escape(title)}</h1>{figure.html(name)}"
    names = list(bodies)
    titles = {name: _title(body, name) for name, body in bodies.items()}
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
    if bodies:
        write_text(out / LIBRARY, plotly.offline.get_plotlyjs())
    written = []
    for place, (name, body) in enumerate(bodies.items()):
        neighbours = [(n, titles[n]) for n in names[max(place - 1, 0) : place + 2] if n != name]
        around = [("index", "All lessons"), *neighbours]
        beside = "".join(f'<a href="{other}.html">{escape(text)}</a>' for other, text in around)
        written.append(_write(out / f"{name}.html", titles[name], f"<nav>{beside}</nav>{body}"))
    rows = "".join(f'<li><a href="{name}.html">{escape(title)}</a></li>' for name, title in titles.items())
    rows += "".join(
        f'<li><a href="{escape(address)}">{escape(title)}</a></li>' for title, address in (links or {}).items()
    )
    alone = {title: out / (re.sub(r"\W+", "-", title.lower()) + ".html") for title in whole or {}}
    for title, text in (whole or {}).items():
        write_text(alone[title], text)
    rows += "".join(f'<li><a href="{path.name}">{escape(title)}</a></li>' for title, path in alone.items())
    return [
        _write(out / "index.html", "SafeDPO, step by step", f"<h1>SafeDPO, step by step</h1><ol>{rows}</ol>"),
        *written,
        *alone.values(),
    ]


def _lessons(paths: Sequence[Path], timeout: float) -> dict[str, str]:
    """Name -> body of each notebook's page; all are read before the first is run, which takes minutes."""
    from tqdm.auto import tqdm

    books, bodies = [read_notebook(path) for path in paths], {}
    for path, book in zip(tqdm(paths, desc="pages", disable=not paths), books, strict=True):
        notebook, ran_here = _executed(path, book, timeout)
        bodies[path.stem] = page_body(notebook, path.name, ours=ran_here)
    return bodies


def page_body(notebook, name: str, *, ours: bool = False) -> str:
    """The HTML of a notebook's cells; `name` is for messages.

    `ours`: it was run here. The HTML of any other notebook is shown where it is our own to the letter (a slider), and as
    text everywhere else.
    """
    parts = []
    for number, cell in enumerate(notebook.cells, 1):
        where = f"{name}, cell {number}"
        if cell.cell_type == "markdown":
            parts.append(markdown(cell.source, where, ours))
        elif cell.cell_type == "code" and cell.source.strip():
            parts.append(
                _code(cell.source)
                + "".join(_output(one, f"{where}-{i}", ours) for i, one in enumerate(_joined(cell.outputs)))
            )
    body = "\n".join(parts)
    for address in _Loaded(body).addresses:
        if re.match(r"\s*(https?:)?//", address):
            raise UserError(f"{name} would load {address!r} from elsewhere; put the file into the page instead")
    return body


class _Loaded(HTMLParser):
    """What a page loads by itself: an address that only stands in its text, in a script, or in a link is none."""

    def __init__(self, page: str):
        super().__init__()
        self.addresses: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list) -> None:
        for name, value in attrs:
            if name == "style":
                self.addresses += _IN_STYLE.findall(value or "")
            elif name in ("src", "srcset", "data", "poster") or (tag != "a" and name in ("href", "xlink:href")):
                self.addresses.append(value or "")

    def handle_data(self, data: str) -> None:
        if self.lasttag == "style":
            self.addresses += _IN_STYLE.findall(data)


def _code(source: str) -> str:
    from pygments import highlight
    from pygments.formatters import HtmlFormatter
    from pygments.lexers import PythonLexer

    marked = highlight(source, PythonLexer(), HtmlFormatter(nowrap=True, noclasses=True, style="xcode"))
    return f'<pre class="source">{marked}</pre>'


def _joined(outputs: list) -> list:
    """What a cell printed piece by piece as one output, as it stood on the reader's screen."""
    joined: list = []
    for one in outputs:
        if joined and one.output_type == joined[-1].output_type == "stream" and one.name == joined[-1].name:
            joined[-1] = type(one)(one | {"text": joined[-1].text + one.text})
        else:
            joined.append(one)
    return joined


def _output(output, where: str, ours: bool) -> str:
    if output.output_type == "stream":
        return _printed(output.text)
    if output.output_type == "error":
        return _printed("\n".join(output.traceback))
    data = output.data
    text = "".join(data.get("text/plain", ""))
    if "text/html" in data:
        body = _PACKED_LIBRARY.sub("", "".join(data["text/html"]))
        if ours or is_ours(body):
            return body
        return _printed(text) or '<p class="note">Here the notebook brought a page of its own; open it to see it.</p>'
    if "application/vnd.plotly.v1+json" in data:
        return _plotly(data["application/vnd.plotly.v1+json"], where)
    if "application/vnd.jupyter.widget-view+json" in data:
        if _PROGRESS.search(data.get("text/plain", "")):
            return ""
        return '<p class="note">Here the notebook has controls that need Python running; open it to try them.</p>'
    if "image/svg+xml" in data and ours:
        return "".join(data["image/svg+xml"])
    for kind in ("image/png", "image/jpeg"):
        if kind in data:
            return picture(kind, data[kind], text) or _printed(text or f"({kind} that is no picture)")
    return _printed(text)


def _plotly(drawn: Mapping[str, Any], where: str) -> str:
    import plotly.graph_objects as go

    try:
        figure = go.Figure(drawn["data"], drawn["layout"])
        return still(figure, "A figure.").html(re.sub(r"\W+", "-", where))
    except UserError:
        raise
    except Exception as error:  # plotly raises many kinds for what is no figure
        raise UserError(
            f"{where}: the stored figure cannot be drawn ({brief(str(error))}); run the notebook again"
        ) from error


def _printed(text: str) -> str:
    # Of a progress bar the last state alone. No pattern: one takes the square of a line's length.
    text = "\n".join(line.removesuffix("\r").rpartition("\r")[2] for line in text.split("\n"))
    return f'<pre class="printed">{html.escape(_COLOUR.sub("", text))}</pre>' if text.strip() else ""


def _title(body: str, name: str) -> str:
    found = re.search(r"<h1>(.*?)</h1>", body, re.DOTALL)
    return html.unescape(re.sub(r"<[^>]+>", "", found[1])) if found else name


def _write(path: Path, title: str, body: str) -> Path:
    library = f'<script src="{LIBRARY}"></script>' if "window.safedpoSliders" in body else ""
    write_text(
        path,
        f'<!doctype html><html lang="en"><head><meta charset="utf-8">{policy(body)}'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{asset('pages/site.css')}</style>{library}</head><body>{body}</body></html>\n",
    )
    return path


def _executed(path: Path, notebook, timeout: float) -> tuple:
    """The notebook with outputs, and whether they were made here."""
    import nbclient

    if any(cell.get("outputs") for cell in notebook.cells):
        return notebook, False
    client = nbclient.NotebookClient(notebook, timeout=timeout, resources={"metadata": {"path": str(path.parent)}})
    try:
        return client.execute(), True
    except nbclient.exceptions.CellExecutionError as problem:
        raise UserError(f"{path.name} stopped with {problem.ename}: {problem.evalue}") from problem
