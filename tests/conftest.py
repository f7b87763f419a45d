"""A tiny model, a byte tokenizer and made-up records: no network, no files outside the test's own folder."""

import hypothesis
import pytest

from safedpo.lm.models.fingerprint import weights_fingerprint
from safedpo.lm.models.load import LoadedModel
from safedpo.lm.models.tiny import tiny_model, tiny_tokenizer
from safedpo.records import Record

# A deadline for each example measures the machine and what runs beside the test, not the code.
hypothesis.settings.register_profile("kit", deadline=None)
hypothesis.settings.load_profile("kit")


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
