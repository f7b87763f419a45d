"""Three adapters in folders."""

import pytest

from safedpo.lm.models.adapters import add_lora
from safedpo.lm.models.tiny import tiny_model
from tests.lm.blending.adapters import save_policy


@pytest.fixture
def folders(tmp_path):
    """Three adapters of rank 2 on the tiny model."""
    deltas = (0, 2.5, 10)
    return {
        delta: save_policy(add_lora(tiny_model(), r=2), tmp_path / f"delta-{delta}", k, delta=delta)
        for k, delta in enumerate(deltas)
    }
