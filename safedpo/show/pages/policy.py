"""What a page of ours may do: run the scripts that were in it when it was written, and ask nobody for anything.

The browser keeps this promise (Content-Security-Policy), whatever else a notebook or a model put into the page. Each inline
script is named by its sha256, so a script that came in by another way does not run; there is no address that a script,
style, font, picture, frame or form may be asked of.
"""

import base64
import hashlib
import re

_SCRIPT = re.compile(r"<script(?P<how>[^>]*)>(?P<code>.*?)</script>", re.DOTALL | re.IGNORECASE)


def policy(page: str, *, unpacks: bool = False) -> str:
    """The `<meta>` element that goes first into the head of `page`, an HTML text with all its scripts.

    `unpacks`: one of them makes plotly.js from its packed form, which is a script that cannot be named beforehand.

    >>> print(policy("<script>1</script>"))
    <meta http-equiv="Content-Security-Policy" content="default-src 'none'; script-src 'self' file: \
'sha256-a4ayc/80/OGda4BO/1o/V0etpOqiLx1JwB5S3beHW0s='; style-src 'unsafe-inline'; img-src data:; font-src data:; \
base-uri 'none'; form-action 'none'; frame-src 'none'; object-src 'none'">
    """
    hashes = dict.fromkeys(_sha256(found["code"]) for found in _SCRIPT.finditer(page) if "src=" not in found["how"])
    # With hashes in the list, browsers pass over 'unsafe-inline'; the packed plotly.js therefore stands alone.
    scripts = "'unsafe-inline'" if unpacks else " ".join(f"'sha256-{one}'" for one in hashes)
    return (
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        f"script-src 'self' file:{scripts and ' ' + scripts}; style-src 'unsafe-inline'; img-src data:; "
        "font-src data:; base-uri 'none'; form-action 'none'; frame-src 'none'; object-src 'none'\">"
    )


def _sha256(code: str) -> str:
    return base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
