"""All answers of the kitchen, listed once."""

import pytest

from safedpo.lm.sentences.enumeration import list_sentences
from safedpo.lm.sentences.reference import load_kitchen


@pytest.fixture(scope="session")
def sentences():
    return list_sentences(load_kitchen())
