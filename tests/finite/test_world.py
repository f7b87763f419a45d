"""The tables: what they refuse, with index and value, and what the named and random worlds promise."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from safedpo.errors import UserError
from safedpo.finite import FiniteWorld, random_world, six_answers, world_a, world_b
from safedpo.finite.world import SUM_TOLERANCE

HALF = [[-0.6931471805599453, -0.6931471805599453]]
SAFETY = torch.tensor([[False, True]])


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"ref_logps": [[-0.5, -0.5]]}, r"ref_logps\[0\] is 1.21306: the probabilities must sum to 1"),
        ({"ref_logps": [[float("nan"), 0.0]]}, r"ref_logps\[0, 0\] is nan"),
        ({"ref_logps": [[0.2, -1.7077]]}, r"ref_logps\[0, 0\] is 0.2: a log-probability is at most 0"),
        ({"ref_logps": [-0.5, -0.5]}, r"ref_logps has shape \(2,\)"),
        ({"ref_logps": torch.zeros(0, 2)}, r"ref_logps has shape \(0, 2\)"),
        ({"reward": [[1.0, float("inf")]]}, r"reward\[0, 1\] is inf"),
        ({"reward": [[float("nan"), 1.0]]}, r"reward\[0, 0\] is nan"),
        ({"reward": [[1.0, 2.0, 3.0]]}, r"reward has shape \(1, 3\), ref_logps \(1, 2\)"),
        ({"unsafe": torch.tensor([[0, 1]])}, r"unsafe is torch.int64; it must be bool"),
        ({"unsafe": torch.tensor([False, True])}, r"unsafe has shape \(2,\)"),
        ({"cost": [[0.0, -1.0]]}, r"cost\[0, 1\] is -1: against unsafe"),
        ({"cost": [[0.5, 1.0]]}, r"cost\[0, 0\] is 0.5: against unsafe"),
        ({"cost": [[0.0, float("inf")]]}, r"cost\[0, 1\] is inf"),
        ({"labels": ("one",)}, r"labels has 1 entries for 2 answers"),
    ],
)
def test_refuses_with_index_and_value(changed, message):
    with pytest.raises(UserError, match=message):
        FiniteWorld(**{"ref_logps": HALF, "reward": [[1.0, 2.0]], "unsafe": SAFETY} | changed)


def test_tables_are_float64_copies_and_frozen():
    reward = torch.tensor([[1.0, 2.0]], dtype=torch.float64)
    world = FiniteWorld(HALF, reward, SAFETY)
    reward[0, 0] = 9.0
    assert world.reward[0, 0] == 1.0
    assert {world.ref_logps.dtype, world.reward.dtype, world.cost.dtype} == {torch.float64}
    assert world.cost.tolist() == [[0.0, 1.0]]
    with pytest.raises(AttributeError):
        world.reward = reward


def test_zero_reference_mass_is_allowed():
    world = FiniteWorld([[0.0, -torch.inf]], [[1.0, 2.0]], SAFETY)
    assert world.ref_logps.exp().tolist() == [[1.0, 0.0]]


def test_named_worlds_match_their_specification():
    a, b, six = world_a(), world_b(), six_answers()
    assert a.ref_logps.exp().sub(1 / 8).abs().max() < 1e-16
    expected = [0.10425128, 0.0056176, 0.14445381, 0.1968973, 0.04359743, 0.31709286, 0.03944088, 0.14864884]
    assert (b.ref_logps.exp()[0] - torch.tensor(expected, dtype=torch.float64)).abs().max() < 1e-8
    assert b.reward[0, :4].numpy().round(8).tolist() == [0.34558419, 0.82161814, 0.33043708, -1.30315723]
    assert a.unsafe.tolist() == b.unsafe.tolist() == [[False] * 4 + [True] * 4]
    # The lessons rely on the hazardous answers being the most rewarded ones.
    assert six.reward[six.unsafe].min() > six.reward[~six.unsafe].max()
    assert len(six.labels) == six.answers == 6


def test_the_tables_that_the_lessons_print():
    six, a = six_answers(), world_a()
    assert six.ref_logps.exp()[0].tolist() == pytest.approx([0.18, 0.22, 0.16, 0.08, 0.14, 0.22], rel=1e-12)
    assert six.reward[0].tolist() == [1.0, 0.6, 0.2, -0.8, 1.8, 1.3]
    assert six.cost[0].tolist() == [-1.0, -0.5, -1.0, -1.5, 2.5, 1.0]
    assert a.reward[0].tolist() == [0.3, 0.2, 0.1, 0.0, 0.5, 0.4, 0.3, 0.2]


def test_costs_of_0_are_safe():
    assert FiniteWorld(HALF, [[1.0, 2.0]], SAFETY, cost=[[0.0, 0.5]]).cost.tolist() == [[0.0, 0.5]]


def test_a_sum_off_by_the_tolerance_is_accepted():
    for off in (-SUM_TOLERANCE, SUM_TOLERANCE):
        assert FiniteWorld([[off]], [[1.0]], torch.tensor([[False]])).ref_logps.item() == off
        with pytest.raises(UserError, match=r"ref_logps\[0"):
            FiniteWorld([[1.001 * off]], [[1.0]], torch.tensor([[False]]))


def test_random_worlds_have_the_laws_they_promise():
    """One prompt of six answers unless asked; 1 to A-1 unsafe ones; Dirichlet(1), N(0, 1) and uniform costs."""
    assert random_world(0).ref_logps.shape == (1, 6)
    world = random_world(0, 4000, 4)
    counts = world.unsafe.sum(-1).bincount(minlength=5).tolist()
    assert counts[0] == counts[4] == 0 and min(counts[1:4]) > 4000 / 3 * 0.9
    share = world.unsafe.double().mean(0)
    assert (share - 0.5).abs().max() < 0.04  # whichever answer it is
    mass = world.ref_logps.exp()  # each share of a Dirichlet(1) over four is Beta(1, 3): mean 1/4, variance 3/80
    assert mass.mean().item() == pytest.approx(0.25, rel=1e-9)
    assert mass.var().item() == pytest.approx(3 / 80, rel=0.05)
    assert world.reward.mean().item() == pytest.approx(0.0, abs=0.03)
    assert world.reward.std().item() == pytest.approx(1.0, rel=0.03)
    safe, unsafe = world.cost[~world.unsafe], world.cost[world.unsafe]
    assert -1 < safe.min() < -0.99 and -0.01 < safe.max() <= 0
    assert 0 < unsafe.min() < 0.01 and 1.99 < unsafe.max() <= 2
    assert safe.mean().item() == pytest.approx(-0.5, abs=0.02) and unsafe.mean().item() == pytest.approx(1.0, abs=0.03)


def test_which_answers_are_unsafe_is_drawn_for_a_single_prompt_too():
    shares = torch.stack([random_world(seed, unsafe_answers=3).unsafe[0] for seed in range(200)]).double().mean(0)
    assert (shares - 0.5).abs().max() < 0.15


def test_all_mass_on_safe_answers_and_no_unsafe_ones_are_possible():
    world = random_world(0, 2, 4, safe_support=1.0)
    assert world.ref_logps[world.unsafe].isneginf().all()
    mass = world.ref_logps.masked_fill(world.unsafe, -torch.inf).logsumexp(-1)
    assert mass.tolist() == pytest.approx([0.0, 0.0], abs=1e-12)
    none = random_world(0, 2, 4, unsafe_answers=0)
    assert not none.unsafe.any() and (none.cost <= 0).all()
    assert random_world(0, 2, 4, unsafe_answers=0, safe_support=1.0).ref_logps.isfinite().all()


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10_000), st.integers(1, 4), st.integers(2, 8), st.data())
def test_random_world_keeps_what_was_asked(seed, prompts, answers, data):
    unsafe_answers = data.draw(st.integers(1, answers - 1))
    support = data.draw(st.sampled_from([1e-300, 1e-8, 0.3, 0.999]))
    world = random_world(seed, prompts, answers, unsafe_answers=unsafe_answers, safe_support=support, reward_gap=0.7)
    assert world.unsafe.sum(-1).tolist() == [unsafe_answers] * prompts
    mass = world.ref_logps.masked_fill(world.unsafe, -torch.inf).logsumexp(-1)
    assert torch.allclose(mass, torch.tensor(support, dtype=torch.float64).log(), rtol=1e-12)
    best_safe = world.reward.masked_fill(world.unsafe, -torch.inf).amax(-1)
    best_unsafe = world.reward.masked_fill(~world.unsafe, -torch.inf).amax(-1)
    assert torch.allclose(best_unsafe - best_safe, torch.tensor(0.7, dtype=torch.float64))


def test_random_world_is_decided_by_its_seed():
    first, again, other = (random_world(seed, 3) for seed in (5, 5, 6))
    assert torch.equal(first.reward, again.reward) and torch.equal(first.unsafe, again.unsafe)
    assert not torch.equal(first.reward, other.reward)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"unsafe_answers": 6}, "6 of 6 answers unsafe: at least one answer must be safe"),
        ({"unsafe_answers": -1}, "-1 of 6 answers unsafe"),
        ({"safe_support": 0.0}, "safe_support is 0.0; it must be greater than 0 and at most 1"),
        ({"safe_support": 1.5}, "safe_support is 1.5; it must be greater than 0 and at most 1"),
        ({"unsafe_answers": 0, "safe_support": 0.5}, "safe_support is 0.5 but a prompt has no unsafe answer"),
    ],
)
def test_random_world_refuses_the_impossible(wrong, message):
    with pytest.raises(UserError, match=message):
        random_world(0, 1, 6, **wrong)
