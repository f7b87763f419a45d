"""A tiny model, a byte tokenizer and made-up records: no network, no files outside the test's own folder."""

import gc
import os
from pathlib import Path

import hypothesis
import pytest

from safedpo.lm.models.fingerprint import weights_fingerprint
from safedpo.lm.models.load import LoadedModel
from safedpo.lm.models.tiny import tiny_model, tiny_tokenizer
from safedpo.records import Record

# A deadline for each example measures the machine and what runs beside the test, not the code.
hypothesis.settings.register_profile("kit", deadline=None)
hypothesis.settings.load_profile("kit")

ROOT = Path(__file__).parents[1]
BESIDE = ("__pycache__", "build", "dist")  # what tools make, and folders whose name begins with a dot or ends as below


def files_in_the_tree() -> set[str]:
    """Every file of the project, without caches, environments and what packaging makes."""
    found = set()
    for folder, folders, names in os.walk(ROOT):
        folders[:] = [one for one in folders if one not in BESIDE and one[0] != "." and not one.endswith(".egg-info")]
        found |= {os.path.relpath(os.path.join(folder, name), ROOT) for name in names}
    return found


def pytest_sessionstart(session):
    session.config.files_before = files_in_the_tree()


@pytest.hookimpl(wrapper=True)
def pytest_collection(session):
    """Without the garbage collector: what is imported meanwhile stays, and looking through it takes seconds."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


def pytest_sessionfinish(session):
    """Tests write into folders of their own: a file that they leave in the tree fails the run."""
    left = sorted(files_in_the_tree() - session.config.files_before)
    if left and not hasattr(session.config, "workerinput"):  # the process that starts the others looks, they do not
        print(f"\nthe tests left {len(left)} files in the tree, for example {', '.join(left[:5])}; write into tmp_path")
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(autouse=True, scope="module")
def large_libraries_are_collected_once():
    """Every step of a trainer collects garbage; what was imported before a file's tests need not be gone through again."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def tokenizer():
    return tiny_tokenizer()


@pytest.fixture
def loaded():
    """Makes a fresh tiny LoadedModel: training changes it."""

    def make(**how):
        model = tiny_model(**how)
        return LoadedModel(model, tiny_tokenizer(), "tiny", "cpu", model.dtype, "as asked", weights_fingerprint(model))

    return make


@pytest.fixture
def records():
    """24 records, six of each pair group (SS, SU, US, UU), with lengths that vary."""
    unsafe = [(False, False), (False, True), (True, False), (True, True)]
    return [
        Record(
            f"question {i}" + "?" * (i % 7),
            (f"yes {i} " * (1 + i % 3), f"no {i} " * (1 + i % 5)),
            unsafe[i % 4],
            better=0,
            safer=int(unsafe[i % 4][0]),
            row=i + 1,
        )
        for i in range(24)
    ]
