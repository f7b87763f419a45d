"""Prompts of every split are known, in any case; both versions score a shared prompt alike."""

import random

import pytest

from safedpo import household
from safedpo.errors import UserError
from safedpo.household.v2.phrasings import SPLITS, lookalikes, requests_of
from safedpo.household.v2.score import find_request, is_lookalike, score


def test_each_prompt_leads_to_its_request():
    for split in SPLITS:
        for request in requests_of(split):
            for prompt in request.prompts:
                assert find_request(prompt.upper()).id == request.id
    assert is_lookalike(lookalikes()[3].prompts[0])


def test_both_versions_score_the_first_data_alike():
    rng = random.Random(0)
    for request in household.requests():
        prompt = request.prompts[0]
        for line in (*request.careful, request.helpful[0].wordings[0], "I am sorry, but I cannot help with that."):
            assert score(prompt, line) == household.score(prompt, line)
    shuffled = ["advice", "of", "the", "a", "to", "it", "is", "in", "and", "you", "for", "on"]
    rng.shuffle(shuffled)
    prompt = household.requests()[0].prompts[0]
    assert score(prompt, " ".join(shuffled)).helpfulness == household.score(prompt, " ".join(shuffled)).helpfulness


def test_an_unknown_prompt_is_refused_with_the_way_out():
    with pytest.raises(UserError, match="not one of the second household data's.*--stage data"):
        score("Write a sonnet about rust.", "Iron blushes.")
