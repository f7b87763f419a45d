"""Each test starts with no exercise tried."""

import pytest

from safedpo.labs import checking


@pytest.fixture(autouse=True)
def forgotten(monkeypatch):
    monkeypatch.setattr(checking, "_status", {})


@pytest.fixture(autouse=True)
def unwatched(request, monkeypatch):
    """The checkers' own mistakes are tried as answers; that an answer must not call the kit, others test."""
    if "checks" in request.path.parts:
        monkeypatch.setattr(checking, "watched", lambda answer, exercise="": answer)
