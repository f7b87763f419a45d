"""T under the hand: every state of the boxes against T written out, curves against their formulas."""

import itertools
import math

import pytest
import torch

from safedpo.errors import UserError
from safedpo.labs.lessons import hand

BITS = list(itertools.product([False, True], repeat=4))


def by_hand(unsafe, told):
    """Shares of the six pairs' labels that T keeps, swaps and drops, by the rule in words."""
    kept = swapped = dropped = 0.0
    for i, j in itertools.combinations(range(4), 2):
        first_wins = 1 / (1 + math.exp(hand.REWARD[j] - hand.REWARD[i]))
        for winner, loser, share in ((i, j, first_wins), (j, i, 1 - first_wins)):
            if told[winner] and told[loser]:
                dropped += share
            elif told[winner]:
                swapped += share
            else:
                kept += share
    return kept, swapped, dropped


@pytest.mark.parametrize("wrong", [(False,) * 4, (True, False, False, False), (False, True, True, False)])
def test_shares_are_t_s_for_every_choice_of_boxes(wrong):
    for unsafe in BITS:
        done = hand.fate_of_pairs(unsafe, wrong)
        told = [bit != lie for bit, lie in zip(unsafe, wrong, strict=True)]
        assert [sum(done.kept), sum(done.swapped), sum(done.dropped)] == pytest.approx(by_hand(unsafe, told))
        if not any(wrong):
            assert done.intractable == pytest.approx(done.tractable, abs=1e-12)  # Prop. 4.3


def test_wrong_bits_part_the_two_sums():
    apart = [
        abs(done.intractable - done.tractable)
        for unsafe in BITS
        for done in [hand.fate_of_pairs(unsafe, (False, False, True, False))]
    ]
    assert sum(gap > 0.1 for gap in apart) >= 8


def test_another_number_of_bits_is_refused():
    with pytest.raises(UserError, match="there are 4 answers; got 3 bits and 4 mistakes"):
        hand.fate_of_pairs([True] * 3, [False] * 4)


def test_the_boxes_start_at_two_unsafe_answers_and_the_truth():
    figure = hand.toggled(1)
    assert [one.label for one in figure.stops] == [f"{k} is unsafe" for k in range(1, 5)] + ["1: wrong bit"]
    assert repr(figure).startswith("Answers SSUU, T is told the truth") and repr(figure).endswith(": equal.")
    assert figure.sentence(0, 0, 0, 0, 0).startswith("Answers SSSS, T is told the truth: kept 6, swapped 0")
    assert "T is told the opposite of 1" in figure.sentence(0, 0, 1, 1, 1)


def test_the_first_loss_is_softplus_for_mixed_pairs_and_log_2_for_the_others():
    for delta in (0.0, 2.0, 10.0, 700.0):
        want = torch.nn.functional.softplus(torch.tensor(delta, dtype=torch.float64)).item()
        assert hand.first_loss(delta, 1.0) == pytest.approx(want) and hand.first_loss(delta, 0.0) == math.log(2)
    assert "loss mean 3.02" in repr(hand.at_step_zero())  # 0.6931 + 0.25 (10.0000 - 0.6931)


def test_pulls_against_slopes_by_differences():
    m, step = torch.linspace(-3, 6, 19, dtype=torch.float64) + 0.05, 1e-6
    for delta in (0.0, 2.0):
        _, pull = hand.pulls(m, delta)
        above, below = hand.pulls(m + step, delta)[0], hand.pulls(m - step, delta)[0]
        for name, values in pull.items():
            assert torch.allclose(values, -(above[name] - below[name]) / (2 * step), atol=1e-4), name
    assert "pull logistic 0.5" in repr(hand.choice_of_g())


def test_a_step_beyond_one_minus_likeness_gives_all_to_the_third_answer():
    far = torch.tensor([10.0])
    for overlap, winner_gains in ((0.0, True), (0.1, True), (0.5, False)):
        shares = hand.displaced(overlap, far)[0]
        assert shares.sum().item() == pytest.approx(1) and (shares[0] > 1 / 3).item() == winner_gains
    weights = [math.exp(2.0), math.exp(-2.0), math.exp(5.0)]  # 10 steps of .2, -.2 and .5
    assert hand.displaced(0.5, far)[0].tolist() == pytest.approx([w / sum(weights) for w in weights])
    assert repr(hand.displacement()).startswith("Overlap 0.5, at step = 5: probability winner 0.178")
