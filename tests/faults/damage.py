"""Damage to stored bytes, drawn from a seed: a bit turned over, the end cut off, a block of zeros, a file emptied."""

import random
from collections.abc import Callable, Iterator
from pathlib import Path

from safedpo.errors import UserError


def damaged(content: bytes, luck: random.Random, count: int) -> Iterator[tuple[str, bytes]]:
    """`count` damaged copies of a file's content, each with what was done to it; none equals the original."""
    made = 0
    while made < count:
        at = luck.randrange(len(content))
        kind = luck.choice(["bit", "bit", "bit", "bit", "cut", "zeros", "empty"])
        if kind == "bit":
            other = bytearray(content)
            other[at] ^= 1 << luck.randrange(8)
        elif kind == "cut":
            other = bytearray(content[:at])
        elif kind == "zeros":
            other = bytearray(content)
            other[at : at + 64] = bytes(len(other[at : at + 64]))
        else:
            other = bytearray()
        if bytes(other) != content:
            made += 1
            yield f"{kind} at {at}", bytes(other)


def accepted_in_silence(
    file: Path, read: Callable[[], object], luck: random.Random, count: int, names: tuple[str, ...] = ()
) -> list[str]:
    """Read `file` after each of `count` damages: which were neither refused by name nor without any effect.

    `read` gives what the file is good for; a damage may change nothing of it (a space in JSON), it may be refused by a
    `UserError` that has the file's name or one of `names`, or what was lost is computed again.
    """
    whole, before, wrong = file.read_bytes(), read(), []
    for what, other in damaged(whole, luck, count):
        file.write_bytes(other)
        try:
            if read() != before:
                wrong.append(f"{file.name}, {what}: another value, in silence")
        except UserError as error:
            if not any(name in str(error) for name in (file.name, file.parent.name, *names)):
                wrong.append(f"{file.name}, {what}: no name in {error}")
        except Exception as error:
            wrong.append(f"{file.name}, {what}: {type(error).__name__}: {error}")
        finally:
            file.write_bytes(whole)
    assert read() == before
    return wrong
