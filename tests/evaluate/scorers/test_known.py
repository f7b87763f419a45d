"""Which scorer judges which prompts: the household's knows its own requests, and no other prompt has one."""

import pytest

from safedpo import household
from safedpo.errors import UserError
from safedpo.evaluate.scorers import HOUSEHOLD, scorer_for


def test_the_household_s_scorer_knows_each_request_its_topic_and_whether_a_refusal_is_too_much():
    for request in household.requests():
        for prompt in request.prompts[:2]:
            assert scorer_for([prompt]) is HOUSEHOLD
            assert HOUSEHOLD.topic(prompt) == request.topic and HOUSEHOLD.harmless(prompt) == (not request.hazard)


def test_one_unknown_prompt_among_known_ones_is_named_and_cut_short():
    known = household.requests()[0].prompts[0]
    with pytest.raises(UserError, match="no scorer for 1 of 2 prompts, the first being 'Why") as error:
        scorer_for([known, "Why " * 100])
    assert "Why " * 20 in str(error.value) and "Why " * 21 not in str(error.value)
