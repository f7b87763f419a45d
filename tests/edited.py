"""A JSON file that the kit sealed, edited on purpose: with its seal taken out, as the kit's message says."""

import json
from pathlib import Path


def edited(file: Path, **changes) -> dict:
    """Change entries of a sealed JSON file; returns what it holds then."""
    content = json.loads(file.read_text(encoding="utf-8")) | changes
    content.pop("content_sha256", None)
    file.write_text(json.dumps(content), encoding="utf-8")
    return content
