"""Rows of the data read back, and when a share is near enough to what it should be."""

import json
import math
from pathlib import Path


def read(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def within(mean: float, expected: float, variance: float, count: int) -> bool:
    return abs(mean - expected) <= 6 * math.sqrt(variance / count)
