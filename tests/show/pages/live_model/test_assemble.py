"""What the live page is assembled from was measured on one reference."""

import json
import shutil

import pytest

from safedpo.errors import UserError
from safedpo.files import shipped
from safedpo.show.pages.live_model import assemble, parts

SWEEP = shipped("data") / "adapters" / "sweep"


def test_results_of_another_reference_are_refused(tmp_path):
    results = shipped("data") / "results" / "household"
    adapter = parts.sweep_adapters(SWEEP)[10]
    assert assemble.stored_measurements(results, adapter)["beta"] == 2.0
    with pytest.raises(UserError, match="one is missing or damaged"):
        assemble.stored_measurements(tmp_path, adapter)
    for name in ("sweep.json", "blends.json", "live_hazards.json"):
        shutil.copy(results / name, tmp_path / name)
    hazards = json.loads((tmp_path / "live_hazards.json").read_text())
    hazards["fingerprints"]["reference"] = "0"
    (tmp_path / "live_hazards.json").write_text(json.dumps(hazards))
    with pytest.raises(UserError, match="live_hazards.json was measured on weights 0"):
        assemble.stored_measurements(results=tmp_path, adapter=adapter)
