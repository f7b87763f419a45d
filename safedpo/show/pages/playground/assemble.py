"""One HTML file out of modules, style and template."""

import base64
import hashlib
import re
from importlib.resources import files

from safedpo.errors import UserError
from safedpo.show.style import escape

_IMPORT = re.compile(r'^import \{([^}]*)\} from "([^"]+)";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=const |let |function |async function )", re.MULTILINE)
_TOP_LEVEL = re.compile(r"^(export )?(?:const|let|(?:async )?function) (\w+)", re.MULTILINE)


def playground_page(*, home: str | None = None) -> str:
    """The page as text: write it to a file and open it; it asks no server for anything.

    `home`: the address that "All lessons" links to; without it the link is left out. The policy in the page's head
    lets only its own script and style run, each named by its SHA-256.

    >>> page = playground_page()
    >>> page.startswith("<!doctype html>"), len(page.encode()) < 300_000, "src=" in page
    (True, True, False)
    """
    script = bundled("view/main.js")
    style = _text("page.css")
    for name, text in (("page.css", style), ("the modules", script)):
        if re.search(r"</(script|style)", text, re.IGNORECASE):
            raise UserError(f"{name} would close their own element; write the tag in two parts")
    policy = (
        f"default-src 'none'; script-src {_digest(script)}; style-src {_digest(style)}; "
        "base-uri 'none'; form-action 'none'"
    )
    link = "" if home is None else f'<a href="{escape(home)}" data-say="home"></a>'
    parts = {"policy": policy, "style": style, "script": script, "home": link}
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], _text("page.html"))


def bundled(entry: str) -> str:
    """The module `entry` with all it imports, as one script: each module once, after those that it needs.

    Raises `UserError` for a name that is imported but not exported, and for two modules with one top-level name.

    >>> script = bundled("model/optimum.js")
    >>> "export" in script, "function optimalPolicy" in script
    (False, True)
    """
    modules: dict[str, str] = {}
    _gather(entry, modules)
    owner: dict[str, str] = {}
    for name, text in modules.items():
        for _, top in _TOP_LEVEL.findall(text):
            if top in owner:
                raise UserError(f"{top} stands in {owner[top]} and in {name}; one script has room for one")
            owner[top] = name
    parts = [f"// {name}\n{_EXPORT.sub('', _IMPORT.sub('', text)).strip()}\n" for name, text in modules.items()]
    return '(() => {\n"use strict";\n' + "\n".join(parts) + "})();\n"


def _gather(name: str, modules: dict[str, str]) -> None:
    text = _text(name)
    for names, source in _IMPORT.findall(text):
        needed = _beside(name, source)
        if needed not in modules:
            _gather(needed, modules)
        exported = {top for is_exported, top in _TOP_LEVEL.findall(modules[needed]) if is_exported}
        if missing := {one.strip() for one in names.split(",")} - exported - {""}:
            raise UserError(f"{name} imports {sorted(missing)[0]} from {needed}, which does not export it")
    modules[name] = text


def _beside(name: str, source: str) -> str:
    """The module that `source` means in the module `name`: "./x.js" or "../room/x.js"."""
    return source.removeprefix("../") if source.startswith("../") else f"{name.split('/')[0]}/{source[2:]}"


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _text(name: str) -> str:
    return files("safedpo.show.pages.playground").joinpath(name).read_text(encoding="utf-8")
