"""The passages of the red pen's report: each in a clean version, which is true, and in one with a flaw, which is not or proves nothing.

A passage may carry its flaw only where `wrong` holds: then the flawed version says something that the stored numbers refute,
or that they cannot support.
"""

from collections.abc import Callable
from dataclasses import dataclass

from safedpo.labs.lessons.studio.facts import PLAIN, Facts


@dataclass(frozen=True)
class Passage:
    """`flaw` is its name in the list that the reader chooses from; `why` says what is wrong with the flawed version."""

    flaw: str
    why: str
    clean: Callable[[Facts], str]
    flawed: Callable[[Facts], str]
    wrong: Callable[[Facts], bool] = lambda f: True
    there: Callable[[Facts], bool] = lambda f: True


def _seeds(values: list[float]) -> str:
    return ", ".join(f"{value:.1f}" for value in values)


def _quiet(f: Facts) -> tuple[str, int, float]:
    found = f.quiet_topic()
    assert found is not None  # `there` has looked
    return found


def _interval(f, over="prompts"):
    return f.interval("helpfulness", over=over)


def _fall(f: Facts) -> float:
    return f.mean("harm", PLAIN) - f.mean("harm")


def _gain(f: Facts) -> float:
    return f.mean("helpfulness") - f.mean("helpfulness", PLAIN)


def _difference(f: Facts, word: str) -> str:
    plain = f.mean("helpfulness", PLAIN)
    return f"Against plain DPO (helpfulness {plain:.1f} %) the policy is {abs(_gain(f)):.1f} points {word} helpful."


PASSAGES = (
    Passage(
        "one seed as if three",
        "The number is that of the best seed; the mean of the three is higher.",
        lambda f: (
            f"Over the three seeds {f.mean('harm'):.1f} % of the responses are harmful ({_seeds(f.seeds('harm'))})."
        ),
        lambda f: f"Over the three seeds {min(f.seeds('harm')):.1f} % of the responses are harmful.",
        lambda f: f.mean("harm") - min(f.seeds("harm")) > 0.1,
    ),
    Passage(
        "gap-only curve",
        "A margin says how far chosen and rejected are apart, not that chosen responses became more likely: they fell.",
        lambda f: (
            f"During training (seed 0) the reward margin rose from {f.curve('rewards/margins')[0]:.1f} to "
            f"{f.curve('rewards/margins')[1]:.1f}, while the implicit reward of the chosen responses fell to "
            f"{f.curve('rewards/chosen')[1]:.2f}."
        ),
        lambda f: (
            f"During training (seed 0) the reward margin rose from {f.curve('rewards/margins')[0]:.1f} to "
            f"{f.curve('rewards/margins')[1]:.1f}: the policy has learned to give the chosen responses more often."
        ),
        lambda f: f.curve("rewards/chosen")[1] < 0 < f.curve("rewards/margins")[1],
        lambda f: f.curve("rewards/chosen")[1] < f.curve("rewards/chosen")[0],
    ),
    Passage(
        "one-sided p",
        "The side was chosen after looking; a test that was free to go either way has twice that p.",
        lambda f: (
            "By prompt, seed 0 is more helpful than the reference {} times and less helpful {} times (sign test, two-sided, "
            "p = {:.2g}).".format(*f.sign_test()[:3])
        ),
        lambda f: (
            "By prompt, seed 0 is more helpful than the reference {} times and less helpful {} times (sign test in the "
            "direction seen, p = {:.2g}).".format(*f.sign_test()[:2], f.sign_test()[3])
        ),
        lambda f: f.sign_test()[3] < f.sign_test()[2],
    ),
    Passage(
        "over-refusal not measured",
        "Neither harm nor helpfulness shows how often harmless requests are refused; it was measured, and is left out.",
        lambda f: (
            f"Of the harmless requests, plain ones and look-alikes, {f.mean('over-refusal'):.1f} % are refused (mean of three "
            f"seeds; the reference refuses {f.reference('over-refusal'):.1f} %)."
        ),
        lambda f: (
            f"With {f.mean('harm'):.1f} % harm and {f.mean('helpfulness'):.1f} % helpfulness (means of three seeds), the policy "
            "plainly does not refuse harmless requests."
        ),
        lambda f: f.mean("over-refusal") > 0,
    ),
    Passage(
        "settings chosen on the test set",
        "Settings that did best on the prompts of a report make it look too good; the card of the results says that these were "
        "chosen on other prompts, those of the validation split.",
        lambda f: (
            "β and the learning rate were chosen by a written rule on other prompts, those of the validation split."
        ),
        lambda f: (
            "β and the learning rate are those that did best on these very prompts, so better figures are not to be had."
        ),
    ),
    Passage(
        "interval over responses",
        "Several responses answer each prompt and resemble one another; prompts are the independent draws.",
        lambda f: (
            "Seed 0's helpfulness is {0.value:.1f} %, with a 95 % interval from {0.low:.1f} to {0.high:.1f} over its "
            "{0.prompts} prompts.".format(_interval(f))
        ),
        lambda f: (
            "Seed 0's helpfulness is {0.value:.1f} %, with a 95 % interval from {0.low:.1f} to {0.high:.1f} over its "
            "{0.n} independent responses.".format(_interval(f, "responses"))
        ),
        lambda f: f.interval("helpfulness").prompts < f.interval("helpfulness").n,
    ),
    Passage(
        "greedy response in the place of samples",
        "One greedy response to each prompt hides what sampling brings up; the other figures are of samples.",
        lambda f: (
            f"Sampled at temperature 1, seed 0 is harmful in {f.seeds('harm')[0]:.1f} % of its responses; its greedy responses "
            f"are in {f.greedy('harm'):.1f} %."
        ),
        lambda f: (
            f"Asked as a user asks, for the most likely response, seed 0 is harmful in {f.greedy('harm'):.1f} %: that is its harm."
        ),
        lambda f: f.greedy("harm") < f.seeds("harm")[0],
    ),
    Passage(
        "wrong sign of a difference",
        "The difference is the other way round: compare the policy's own helpfulness with the one named.",
        lambda f: _difference(f, "more" if _gain(f) > 0 else "less"),
        lambda f: _difference(f, "less" if _gain(f) > 0 else "more"),
        there=lambda f: abs(_gain(f)) > 0.05,
    ),
    Passage(
        "zero seen, zero claimed",
        "No event in a few prompts leaves a rate possible that is far from zero.",
        lambda f: (
            "On the topic {} seed 0 gave no harmful response; with {} prompts that leaves up to {:.0f} % possible (95 %)."
        ).format(*_quiet(f)),
        lambda f: f"On the topic {_quiet(f)[0]} seed 0 gave no harmful response: there the policy is safe.",
        lambda f: _quiet(f)[2] > 1,
        lambda f: f.quiet_topic() is not None,
    ),
    Passage(
        "points called percent",
        "The difference is in percentage points; as a share of plain DPO's harm it is much more.",
        lambda f: (
            f"Harm falls from plain DPO's {f.mean('harm', PLAIN):.1f} % to {f.mean('harm'):.1f} %, by {_fall(f):.1f} points."
        ),
        lambda f: f"SafeDPO takes away {_fall(f):.1f} % of plain DPO's harm, which is {f.mean('harm', PLAIN):.1f} %.",
        lambda f: abs(100 * _fall(f) / f.mean("harm", PLAIN) - _fall(f)) > 5,
    ),
    Passage(
        "two changes at once",
        "Plain DPO lacks T as well as the margin; T alone already takes away a part of the harm.",
        lambda f: (
            f"Plain DPO lacks T as well as the margin; T alone leaves {f.mean('harm', 'safedpo-delta-0'):.1f} % harm, so the fall "
            "from plain DPO is not the margin's alone."
        ),
        lambda f: f"The fall of {_fall(f):.1f} points in harm from plain DPO shows what the margin does.",
        lambda f: f.mean("harm", "safedpo-delta-0") < f.mean("harm", PLAIN) - 1,
    ),
    Passage(
        "claimed beyond what was measured",
        "One model of 135 million weights, one data set and one scorer were measured; nothing here is about another.",
        lambda f: "All of this is about one model of 135 million weights on one data set, with one scorer.",
        lambda f: "A larger model on other preference data will show the same balance of harm and help.",
    ),
    Passage(
        "range called an interval",
        "The least and the greatest of three seeds are a range; no 95 % stands behind it.",
        lambda f: (
            f"Helpfulness differs between the seeds, from {min(f.seeds('helpfulness')):.1f} to {max(f.seeds('helpfulness')):.1f} %; "
            "three seeds say little about others."
        ),
        lambda f: (
            f"The 95 % confidence interval of helpfulness over seeds is {min(f.seeds('helpfulness')):.1f} to "
            f"{max(f.seeds('helpfulness')):.1f} %."
        ),
        lambda f: len(f.seeds("helpfulness")) < 40,  # with fewer, least and greatest are not even the 2.5 % quantiles
    ),
)
FLAWS = tuple(sorted(passage.flaw for passage in PASSAGES))
