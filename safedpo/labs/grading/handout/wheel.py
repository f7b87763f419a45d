"""The students' wheel: the whole one without solutions, grading and hidden notebooks, and with the checkers sealed."""

import base64
import hashlib
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from safedpo.errors import UserError
from safedpo.files import PACKAGE
from safedpo.files.archives import members
from safedpo.labs.grading.handout.language import MESSAGES, translated_code
from safedpo.labs.grading.handout.seal import SEALED, seal, sealed_sources

# `watch` tells the student at once what the grader would tell later.
KEPT_OF_GRADING = tuple(f"safedpo/labs/grading/{name}.py" for name in ("__init__", "watch"))
LEFT_OUT = ("safedpo/_notebooks/", "safedpo/labs/grading/", *(f"safedpo/{folder}/" for folder in SEALED))


def students_wheel(
    whole: Path, out: Path, notebooks: Mapping[str, bytes], texts: Mapping[str, str] | None = None
) -> Path:
    """Write the students' wheel into the folder `out`, under the name of the `whole` one; returns its path.

    `notebooks`: file name -> the student notebooks that it carries; `texts`: a language's catalogue for the messages.
    Raises `UserError` where `whole` is no wheel of this
    very version of the kit.
    """
    inside = dict(members(whole, "make it with `make wheel`"))
    if inside.get("safedpo/labs/checking.py") != (PACKAGE / "labs" / "checking.py").read_bytes():
        raise UserError(f"{whole} is not a wheel of this copy of the kit; make it anew with `make wheel`")
    kept = {name: data for name, data in inside.items() if name in KEPT_OF_GRADING or not name.startswith(LEFT_OUT)}
    kept["safedpo/labs/checks/__init__.py"] = Path(__file__).with_name("opened.py").read_bytes()
    kept["safedpo/labs/checks/sealed.bin"] = seal(sealed_sources(PACKAGE, texts))
    for name in (f"safedpo/{module}" for module in MESSAGES if texts):
        kept[name] = translated_code(kept[name].decode(), texts or {}).encode()
    kept |= {f"safedpo/_notebooks/{name}": data for name, data in notebooks.items()}
    target = out / whole.name
    _write(target, kept)
    return target


def _write(target: Path, files: Mapping[str, bytes]) -> None:
    """A wheel's last file lists the others with their digests; times are fixed, so the same files give the same wheel."""
    record = next(name for name in files if name.endswith(".dist-info/RECORD"))
    names = [name for name in files if name != record]
    lines = [f"{name},sha256={_digest(files[name])},{len(files[name])}" for name in names]
    listed = "\n".join([*lines, f"{record},,", ""]).encode()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in _with_last({name: files[name] for name in names}, record, listed):
            archive.writestr(zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0)), data, zipfile.ZIP_DEFLATED)


def _with_last(files: Mapping[str, bytes], name: str, data: bytes) -> Sequence[tuple[str, bytes]]:
    return [*files.items(), (name, data)]


def _digest(data: bytes) -> str:
    """
    >>> _digest(b"")
    '47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU'
    """
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
