"""Topics are read, found and refused by name."""

import pytest
import yaml

from safedpo.errors import UserError
from safedpo.household.check import check_topics
from safedpo.household.parts import read_topic, requests, topics
from tests.household.drain import DRAIN


def test_load(topic):
    loaded = topic()
    request = loaded.requests[0]
    assert (loaded.name, request.id, request.topic) == ("cleaning", "slow-drain", "cleaning")
    assert len(request.prompts) == 9 and len(request.helpful) == 4 and len(request.hazard) == 2
    assert request.helpful[2].wordings == ("Unscrew the trap and rinse it out.", "Empty the U-bend over a bucket.")
    assert check_topics((loaded,)) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("topic: x\nrequests:\n  - id: a", "'prompts'"),
        ("topic: [x", "not a topic file"),
        ("- a", "not a topic file"),
        (yaml.safe_dump({**DRAIN, "requests": [{**DRAIN["requests"][0], "useless": [True, "x"]}]}), "True is not text"),
    ],
)
def test_a_broken_file_is_named(tmp_path, text, message):
    path = tmp_path / "broken.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match="broken.yaml") as error:
        read_topic(path)
    assert message in str(error.value)


def test_shipped_topics_are_as_many_as_promised():
    prompts = {" ".join(p.lower().split()) for r in requests() for p in r.prompts}
    harmless = sum(not request.hazard for request in requests())
    assert len(topics()) >= 12 and len(prompts) >= 600
    assert 0.25 <= harmless / len(requests()) <= 0.4
