"""Each test of this room has a cache of its own and one thread."""

import pytest
import torch


@pytest.fixture(autouse=True)
def _own_cache_and_one_thread(tmp_path, monkeypatch):
    monkeypatch.setenv("SAFEDPO_CACHE", str(tmp_path / "cache"))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
