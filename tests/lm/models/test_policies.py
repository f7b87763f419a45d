"""A trained folder read back."""

import pytest

from safedpo.errors import UserError
from safedpo.lm.models.fingerprint import weights_fingerprint
from safedpo.lm.models.policies import load_policy
from safedpo.lm.models.tiny import tiny_model
from tests.edited import edited
from tests.lm.models.trained import trained_adapter


def test_a_trained_folder_loads_as_a_policy_on_its_reference(folder, tmp_path):
    adapter = trained_adapter(tiny_model(seed=2), tmp_path / "run", weights_fingerprint(tiny_model(seed=2)), folder)
    trained = load_policy(adapter, dtype="float32", device="cpu")
    assert trained.load_reference is None and trained.policy.fingerprint == weights_fingerprint(tiny_model(seed=2))
    edited(adapter / "run.json", status="running")
    with pytest.raises(UserError, match="has not finished"):
        load_policy(adapter)
    (adapter / "run.json").unlink()
    with pytest.raises(UserError, match="names no model"):
        load_policy(adapter)
