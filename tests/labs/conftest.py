"""Each test starts with no exercise tried."""

import pytest

from safedpo.labs import checking


@pytest.fixture(autouse=True)
def forgotten(monkeypatch):
    monkeypatch.setattr(checking, "_status", {})
