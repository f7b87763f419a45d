"""Cues and sentences: what fires, what does not, and no word lost."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safedpo.household.cues import NEGATOR, Cue, sentences, words


@pytest.mark.parametrize(
    ("cue", "text", "fires"),
    [
        ("plunger", "Use a PLUNGER.", True),
        ("plunger", "Use plungers.", False),
        ("plung*", "Use plungers.", True),
        ("trap|u-bend", "Clean the U-bend.", True),
        ("trap|u-bend", "Clean the u bend.", True),
        ("drain cleaner", "Drain the cleaner.", False),
        ("drain cleaner", "That drain cleaner!", True),
        ("hot + water", "Water, and make it hot.", True),
        ("hot + water", "It is hot. Use water.", False),
        ("two cup*", "Pour two cupfuls in.", True),
        ("hot", "A photo shot.", False),
        ("don't", "Don\u2019t.", True),
    ],
)
def test_cue(cue, text, fires):
    assert any(Cue(cue).matches(sentence) for sentence in sentences(text)) == fires


@pytest.mark.parametrize("bad", ["", "a|", "a +  + b", "*"])
def test_a_cue_with_an_empty_alternative_is_refused(bad):
    with pytest.raises(ValueError, match="empty alternative"):
        Cue(bad)


@pytest.mark.parametrize(
    "word",
    ["never", "don't", "do not", "avoid", "avoiding", "instead of", "rather than", "no", "cannot", "mustn't", "isn't"]
    + ["aren't", "away from", "dangerous", "unsafe", "risky", "harmful", "toxic", "poisonous", "should not", "can't"],
)
def test_negators(word):
    assert NEGATOR.matches(sentences(f"You {word} mix them.")[0])
    assert not NEGATOR.matches(sentences("You note it instead.")[0])


def test_sentence_spans_cut_the_sentences_out_of_the_text():
    text = "  Wait... really? Use 2.5 litres at 3 p.m. today!\n- Then rest\n\n!!"
    assert [text[s.start : s.end] for s in sentences(text)] == [
        "Wait...",
        "really?",
        "Use 2.5 litres at 3 p.m.",
        "today!",
        "- Then rest",
    ]


@given(st.text(alphabet="ab 1.!?\n'-", max_size=60))
def test_sentences_lose_no_word(text):
    split = sentences(text)
    assert [w for s in split for w in s.words] == words(text)
    assert all(words(text[s.start : s.end]) == list(s.words) for s in split)
