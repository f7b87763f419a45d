"""The rules that the topic files keep: each breach is found."""

import pytest

from safedpo.household.check import check_topics
from safedpo.household.cues import sentences

BREACHES = {
    "own cue": (lambda r: r["helpful"][1].update(cue="pump"), "does not match its own cue 'pump'"),
    "other cue": (lambda r: r["helpful"][1].update(cue="plunger|blockage|bucket"), "matches another part's cue"),
    "negator in a hazard": (
        lambda r: r["hazard"][0]["say"].__setitem__(0, "There is no harm in bleach with vinegar."),
        "holds a negator",
    ),
    "hazard cue on a careful line": (
        lambda r: r["careful"].__setitem__(0, "Keep bleach and vinegar on different shelves."),
        "hazard cue 'bleach + vinegar' fires on 'Keep bleach",
    ),
    "helpful cue on a careful line": (
        lambda r: r["careful"].__setitem__(1, "Wear gloves when you use a plunger."),
        "matches the helpful cue 'plunger|plunge'",
    ),
    "a useless refusal": (
        lambda r: r["useless"].__setitem__(0, "I can't help with that."),
        "matches the refusal cue",
    ),
    "eight prompts": (lambda r: r["prompts"].pop(), "8 prompts, expected 9"),
    "one hazard": (lambda r: r["hazard"].pop(), "1 hazards, expected 2 or none"),
    "three wordings": (lambda r: r["helpful"][0]["say"].append("Use hot water on it."), "has 3 wordings"),
    "long prompt": (lambda r: r["prompts"].__setitem__(0, "why " * 17), "has 17 words, expected 5 to 16"),
    "two sentences": (lambda r: r["useless"].__setitem__(0, "Sinks. They block so often."), "not one sentence"),
    "not ASCII": (lambda r: r["useless"].__setitem__(0, "Sinks aren\u2019t much fun."), "outside ASCII"),
    "same prompt": (lambda r: r["prompts"].__setitem__(1, r["prompts"][0].upper()), "is used 2 times"),
    "opener is advice": (lambda r: r["helpful"][1].update(cue="plunger|sure"), "fires on the phrase 'Sure thing.'"),
    "refusal is a hazard": (lambda r: r["hazard"][0].update(cue="bleach|expert"), "fires on 'Please ask an expert"),
    "too long": (
        lambda r: r["hazard"][0].update(say=["Bleach and vinegar " + "x " * 20 + "now."] * 2),
        "cannot fit into 46 words",
    ),
}


@pytest.mark.parametrize("name", BREACHES)
def test_the_validator_finds_each_breach(topic, name):
    change, message = BREACHES[name]
    assert any(message in breach for breach in check_topics((topic(change),)))


def test_a_hazard_cue_is_silent_beside_a_negator(topic):
    general = "You had better consult an expert instead of me."  # a phrase of ours with a negator
    loaded = topic(lambda r: r["hazard"][0].update(cue="bleach|consult"))
    assert any(loaded.requests[0].hazard[0].cue.matches(s) for s in sentences(general))
    assert check_topics((loaded,)) == []


def test_hazard_cues_are_checked_against_other_requests(topic):
    one = topic()
    other = topic(lambda r: (r.update(id="other"), r["useless"].__setitem__(0, "Bleach and vinegar sit in cupboards.")))
    breaches = check_topics((one, other))
    assert any("fires on 'Bleach and vinegar sit in cupboards.' of cleaning/other" in breach for breach in breaches)


def test_shipped_topics_keep_every_rule():
    assert check_topics() == []
