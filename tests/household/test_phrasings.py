"""Each phrasing in one split alone, grammatical frames, several dozen a request, and nothing that repeats."""

import re
from collections import Counter
from itertools import combinations

import pytest

from safedpo.errors import UserError
from safedpo.household.parts import fold, requests
from safedpo.household.phrasings import (
    DOUBLED,
    FRAMED,
    LOOKALIKES,
    MOST_WORDS,
    SPLITS,
    UNSEEN,
    asked,
    doing,
    everything,
    find_request,
    frames,
    is_lookalike,
    lookalikes,
    phrasings,
    requests_of,
)

VOWELS = "aeiou"


def prompts(split):
    return [prompt for request in requests_of(split) for prompt in request.prompts]


def test_no_phrasing_stands_in_two_splits_or_twice_in_one():
    folded = {split: [fold(prompt) for prompt in prompts(split)] for split in SPLITS}
    for split, found in folded.items():
        assert len(set(found)) == len(found), split
    for one, other in combinations(SPLITS, 2):
        assert not set(folded[one]) & set(folded[other])


def test_no_frame_is_used_for_training_and_for_measuring():
    own = [set(frames()[split]) for split in ("train", "validation", "test")]
    assert [len(one) for one in own] == [29, 7, 7]
    assert all(not one & other for one, other in combinations(own, 2))
    for split in ("validation", "test"):  # and no held-out prompt fits a frame of training
        patterns = [re.compile(re.sub(r"\\{\w+\\}", ".+", re.escape(frame))) for frame in frames()["train"]]
        made = [p for r in requests_of(split) for p in r.prompts[2 if r.topic != LOOKALIKES else 1 :]]
        framed = [prompt for prompt in made if prompt not in {p for r in everything() for p in r.prompts}]
        assert framed and not [
            p for p in framed for one in patterns if one.fullmatch(p) and "{state}" not in one.pattern
        ]


def test_sizes_and_unseen_requests():
    assert [len(requests_of(split)) for split in SPLITS] == [82, 82, 82, 5]
    assert [len(prompts(split)) for split in SPLITS] == [2504, 340, 340, 75]
    trained = {request.id for request in requests_of("train")}
    assert not trained & set(UNSEEN) and {request.id for request in requests_of("unseen")} == set(UNSEEN)
    by_id = {request.id: request for request in requests()}
    assert sum(bool(by_id[name].hazard) for name in UNSEEN) / len(UNSEEN) == 45 / 75  # as in all requests
    each = [sum(len(phrasings(r, split)) for split in SPLITS) for r in requests() if r.id not in UNSEEN]
    assert set(each) == {9 + FRAMED["train"] + FRAMED["validation"] + FRAMED["test"]} == {40}  # as the card says
    assert {sum(len(phrasings(r, split)) for split in SPLITS if split != "unseen") for r in lookalikes()} == {32}


def test_no_test_prompt_was_one_on_which_the_first_settings_were_chosen():
    chosen_on = {prompt for request in requests() for prompt in request.prompts[-2:]}
    assert not chosen_on & set(prompts("test")) and not chosen_on & set(prompts("train"))


def test_every_request_has_four_verb_phrases_and_its_needs():
    ids = {request.id for request in everything()}
    assert set(asked()) == ids
    for name, content in asked().items():
        assert len(content.do) == 4 and len(content.state) in (2, 3), name
        assert all(phrase[0].islower() and phrase[-1] not in ".?!" for phrase in content.do), name
        assert all(need[0].isupper() and need[-1] == "." for need in content.state), name


def test_prompts_are_sentences_of_plain_words():
    for split in SPLITS:
        for prompt in prompts(split):
            assert 4 <= len(prompt.split()) <= MOST_WORDS and prompt.isascii()
            assert "{" not in prompt and "  " not in prompt and " ." not in prompt and prompt[0].isupper()


def test_verbs_in_ing_follow_the_rule_of_doubling():
    """Consonant, one vowel, consonant at the end of a stressed last syllable is doubled; the list was checked against it."""
    for content in asked().values():
        for phrase in content.do:
            verb = phrase.split()[0]
            short = re.fullmatch(rf"[^{VOWELS}]*[{VOWELS}][^{VOWELS}wxy]", verb)  # one syllable
            if short:
                assert verb in DOUBLED, f"{phrase!r} would become {doing(phrase)!r}"
            assert not re.search(r"eing |(?<!y)iing ", doing(phrase)) or verb.endswith("ee")


def test_frames_are_used_alike():
    used = Counter()
    for frame in frames()["train"]:
        start = frame.split("{")[0]
        used[frame] = sum(prompt.startswith(start) for prompt in prompts("train")) if len(start) > 12 else None
    counted = [count for count in used.values() if count is not None]
    assert min(counted) > 40


def test_an_unknown_split_is_named():
    with pytest.raises(UserError, match="no split 'dev'.*choose train"):
        phrasings(requests()[0], "dev")


def test_each_prompt_leads_to_its_request():
    for split in SPLITS:
        for request in requests_of(split):
            for prompt in request.prompts:
                assert find_request(prompt.upper()).id == request.id
    assert is_lookalike(lookalikes()[3].prompts[0])


def test_a_known_prompt_is_found_whatever_its_case_and_spaces():
    request = requests()[-1]
    assert find_request("  " + request.prompts[-1].upper().replace(" ", "\n ")) is request
    with pytest.raises(UserError, match="no scorer for this prompt.*use the prompts of data/household"):
        find_request("What is the capital of France?")
