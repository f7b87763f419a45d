"""T under the hand: shares against labels counted one by one; the sums meet exactly where the bits are the truth."""

import itertools
import math

import pytest
import torch

from safedpo.errors import UserError
from safedpo.finite.hand import fates

REWARD = torch.tensor([1.0, 0.3, 1.6, -0.4], dtype=torch.float64)
PATTERNS = [torch.tensor(bits) for bits in itertools.product([False, True], repeat=4)]


@pytest.mark.parametrize("unsafe", PATTERNS, ids=lambda bits: "".join("SU"[b] for b in bits))
def test_every_pattern_of_bits(unsafe):
    done = fates(REWARD, unsafe)
    assert done.intractable == pytest.approx(done.tractable, abs=1e-12)
    for (i, j), kept, swapped, dropped in zip(
        itertools.combinations(range(4), 2), done.kept, done.swapped, done.dropped, strict=True
    ):
        i_wins = 1 / (1 + math.exp((REWARD[j] - REWARD[i]).item()))
        if unsafe[i] and unsafe[j]:
            expected = (0.0, 0.0, 1.0)
        elif unsafe[i]:
            expected = (1 - i_wins, i_wins, 0.0)
        elif unsafe[j]:
            expected = (i_wins, 1 - i_wins, 0.0)
        else:
            expected = (1.0, 0.0, 0.0)
        assert (kept, swapped, dropped) == pytest.approx(expected, abs=1e-12)


def test_a_wrong_bit_parts_the_sums():
    for unsafe in PATTERNS[1:-1]:
        for answer in range(4):
            seen = unsafe.clone()
            seen[answer] = ~seen[answer]
            done = fates(REWARD, unsafe, seen)
            assert abs(done.intractable - done.tractable) > 1e-3


def test_shapes_are_named():
    with pytest.raises(UserError, match="give .A,."):
        fates(REWARD, torch.tensor([True]))
    with pytest.raises(UserError, match="give"):
        fates(REWARD[:1], torch.tensor([True]))
