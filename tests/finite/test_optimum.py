"""The closed forms against brute force in plain Python; the ledger's tests hold the theory."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from safedpo.errors import UserError
from safedpo.finite import (
    FiniteWorld,
    InfeasiblePromptError,
    expected_reward,
    kl,
    log_partition,
    log_partition_unsafe,
    modified_reward,
    objective,
    optimal_policy,
    optimal_value,
    random_world,
    required_penalty,
    safe_part,
    six_answers,
    tv,
    unsafe_mass,
    world_a,
)
from safedpo.finite.world import SUM_TOLERANCE


def by_hand(world, prompt, beta, penalty):
    """pi_C and Z by the definition, one answer after the other."""
    terms = []
    for reference, reward, unsafe in zip(
        world.ref_logps[prompt].tolist(), world.reward[prompt].tolist(), world.unsafe[prompt].tolist(), strict=True
    ):
        gain = -math.inf if unsafe and penalty == math.inf else reward - penalty * unsafe if unsafe else reward
        terms.append(math.exp(reference) * math.exp(gain / beta))
    return [term / sum(terms) for term in terms], sum(terms)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10_000), st.floats(0.05, 20), st.sampled_from([0.0, 0.3, 4.0, math.inf]))
def test_policy_and_partition_by_hand(seed, beta, penalty):
    world = random_world(seed, 3, 5)
    policy, log_z = optimal_policy(world, beta, penalty=penalty), log_partition(world, beta, penalty=penalty)
    for prompt in range(3):
        expected, z = by_hand(world, prompt, beta, penalty)
        assert policy[prompt].exp().tolist() == pytest.approx(expected, rel=1e-9, abs=1e-300)
        assert log_z[prompt].item() == pytest.approx(math.log(z), rel=1e-10, abs=1e-12)
        tables = (table[prompt].tolist() for table in (world.ref_logps, world.reward, world.unsafe))
        value = sum(
            p * (r - penalty * h if h else r) - beta * p * (math.log(p) - q)
            for p, q, r, h in zip(expected, *tables, strict=True)
            if p > 0
        )
        near = pytest.approx(value, rel=1e-9, abs=1e-9)
        assert objective(world, policy, beta, penalty=penalty)[prompt].item() == near
        assert optimal_value(world, beta, penalty=penalty)[prompt].item() == near


def test_unsafe_partition_by_hand():
    world = random_world(4, 3, 5)
    for beta in (0.3, 2.0):
        found = log_partition_unsafe(world, beta)
        for prompt in range(3):
            tables = (table[prompt].tolist() for table in (world.ref_logps, world.reward, world.unsafe))
            z = sum(math.exp(q + r / beta) for q, r, h in zip(*tables, strict=True) if h)
            assert found[prompt].item() == pytest.approx(math.log(z), rel=1e-12)


def test_world_a_optimum_has_its_published_digits():
    assert optimal_policy(world_a(), 0.1).exp()[0, :4].numpy().round(5).tolist() == [0.64391, 0.23688, 0.08714, 0.03206]


def test_required_penalty_has_its_published_digits():
    penalties = []
    for support in (0.5, 0.1, 0.01, 1e-4, 1e-8):
        world = FiniteWorld(
            torch.tensor([[support, 1 - support]]).double().log(), [[0.0, 0.0]], torch.tensor([[False, True]])
        )
        penalties.append(math.ceil(required_penalty(world, 0.1, 1e-3).item() * 1000) / 1000)
    assert penalties == [0.691, 0.911, 1.151, 1.612, 2.533]
    world = FiniteWorld([[math.log(0.5)] * 2], [[0.0, 0.0]], torch.tensor([[False, True]]))
    assert required_penalty(world, 0.1, 1e-3).item() == pytest.approx(0.1 * math.log(999), rel=1e-12)
    assert required_penalty(world, 0.1, 0.9).item() == 0.0  # already nearer than that without a penalty


def test_hard_constraint_names_the_infeasible_prompt_and_a_penalty_does_not_mind():
    unsafe = torch.tensor([[False, True], [True, True]])
    world = FiniteWorld(torch.full((2, 2), 0.5).double().log(), [[0.0, 1.0]] * 2, unsafe)
    for function in (optimal_policy, optimal_value, log_partition):
        with pytest.raises(InfeasiblePromptError, match="prompt 1 has no safe answer") as caught:
            function(world, 0.5)
        assert caught.value.prompt == 1
    assert unsafe_mass(world, optimal_policy(world, 0.5, penalty=3.0))[1].item() == pytest.approx(1.0)
    # A safe answer that the reference never gives does not help.
    world = FiniteWorld([[-math.inf, 0.0]], [[0.0, 1.0]], torch.tensor([[False, True]]))
    with pytest.raises(InfeasiblePromptError, match="prompt 0"):
        optimal_policy(world, 0.5)


@pytest.mark.parametrize("beta", [0.0, -1.0, math.nan, math.inf])
def test_beta_must_be_positive_and_finite(beta):
    for function in (log_partition, log_partition_unsafe, optimal_policy):
        with pytest.raises(UserError, match="beta is"):
            function(six_answers(), beta)
    with pytest.raises(UserError, match="beta is"):
        objective(six_answers(), six_answers().ref_logps, beta)


def test_penalty_and_tau_are_checked():
    for penalty in (-1.0, math.nan):
        with pytest.raises(UserError, match="penalty is"):
            modified_reward(six_answers(), penalty=penalty)
    for tau in (0.0, 1.0, -0.1):
        with pytest.raises(UserError, match="tau is"):
            required_penalty(six_answers(), 0.5, tau)


def test_distances_on_small_numbers():
    p, q = torch.tensor([[0.5, 0.5, 0.0]]).double().log(), torch.tensor([[0.25, 0.25, 0.5]]).double().log()
    assert tv(p, q).item() == pytest.approx(0.5)
    four = torch.tensor([[0.4, 0.4, 0.1, 0.1]]).double().log()
    assert tv(four, four.flip(-1)).item() == pytest.approx(0.6)
    assert kl(p, q).item() == pytest.approx(math.log(2))
    assert kl(q, p).item() == math.inf
    assert kl(p, p).item() == 0.0


def test_functions_keep_leading_dimensions():
    world = random_world(0, 3, 4)
    policies = torch.randn(2, 5, 3, 4, dtype=torch.float64).log_softmax(-1)
    for result in (
        expected_reward(world, policies),
        unsafe_mass(world, policies),
        tv(policies, world.ref_logps),
        kl(policies, world.ref_logps),
        objective(world, policies, 0.5, penalty=1.0),
    ):
        assert result.shape == (2, 5, 3)
    one = safe_part(world, policies)[1, 4]
    expected = policies[1, 4].exp() * ~world.unsafe
    assert torch.allclose(one.exp(), expected / expected.sum(-1, keepdim=True))


def test_unsafe_mass_survives_where_float64_sums_would_not():
    world = FiniteWorld([[0.0, -600.0]], [[0.0, 0.0]], torch.tensor([[False, True]]))
    assert unsafe_mass(world, world.ref_logps).item() == pytest.approx(math.exp(-600), rel=1e-12)


@pytest.mark.parametrize("function", [expected_reward, unsafe_mass, safe_part, lambda w, p: objective(w, p, 0.5)])
def test_what_is_no_policy_is_refused(function):
    world = random_world(0, 2, 3)
    with pytest.raises(UserError, match=r"has shape \(3,\); it must end in \(prompts, answers\) = \(2, 3\)"):
        function(world, world.ref_logps[0])
    with pytest.raises(UserError, match=r"policy\[0, 1\]: the probabilities sum to .*, not 1"):
        function(world, torch.stack([torch.stack([world.ref_logps[0], world.ref_logps[1].exp()])]))
    with pytest.raises(UserError, match=r"policy\[1\]: the probabilities sum to nan"):
        function(world, torch.stack([world.ref_logps[0], world.ref_logps[1] * math.nan]))


def test_a_sum_off_by_the_tolerance_is_still_a_policy():
    world = FiniteWorld([[0.0]], [[2.0]], torch.tensor([[False]]))
    off = torch.tensor([[-SUM_TOLERANCE]], dtype=torch.float64)
    assert expected_reward(world, off).item() == pytest.approx(2.0, abs=1e-5)
    with pytest.raises(UserError, match=r"policy\[0\]"):
        expected_reward(world, 1.001 * off)
