import pytest

from safedpo.labs import checking


@pytest.fixture(autouse=True)
def answers_may_call_the_kit(monkeypatch):
    """The mistakes that these tests hand in are the kit's own functions, which an answer may not call."""
    monkeypatch.setattr(checking, "watched", lambda answer, name="": answer)
