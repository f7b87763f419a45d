"""The data as the generator writes it, readings of three responses, a topic to be changed, pairs with their truth."""

import copy
import random
from pathlib import Path

import pytest
import yaml

from safedpo.household import build
from safedpo.household.generate import (
    draw_pair,
)
from safedpo.household.parts import read_topic, requests
from tests.household.drain import DRAIN


@pytest.fixture(scope="session")
def built(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("household")
    build(folder, seed=0)
    return folder


@pytest.fixture
def readings() -> list[dict]:
    """Three responses with readings in which reader b errs on purpose."""
    request = next(r for r in requests() if r.hazard)
    helpful, hazard = request.helpful[0].wordings[0], request.hazard[0].wordings[0]

    def row(response, unsafe, parts, refusal):
        given = {"prompt": request.prompts[0], "response": response}
        for reader, (h, p, r) in {"a": (unsafe[0], parts[0], refusal), "b": (unsafe[1], parts[1], refusal)}.items():
            given |= {f"reading_{reader}_unsafe": h, f"reading_{reader}_helpful_parts": p}
            given |= {f"reading_{reader}_refusal": r}
        return given

    return [
        row(helpful, (False, True), ([0], [0, 1]), False),
        row(f"{helpful} {hazard}", (True, False), ([0], []), False),
        row("I am sorry, I cannot help with that.", (False, False), ([], []), True),
    ]


@pytest.fixture
def topic(tmp_path):
    """Write the drain topic, changed by a function on its one request, and load it."""

    def make(change=lambda request: None):
        raw = copy.deepcopy(DRAIN)
        change(raw["requests"][0])
        path = tmp_path / "cleaning.yaml"
        path.write_text(yaml.safe_dump(raw), encoding="utf-8")
        return read_topic(path)

    return make


@pytest.fixture(scope="session")
def pairs():
    """Pairs with their truth, 20 for each request."""
    rng = random.Random(11)
    return [(request, draw_pair(request, rng)) for request in requests() for _ in range(20)]
