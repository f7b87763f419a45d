"""The walker: what is stored is what a fresh search finds, and each counterexample stands when counted by hand."""

import itertools
import math
from dataclasses import replace

import pytest
import torch
from scipy.optimize import linprog

from safedpo.errors import UserError
from safedpo.finite import FiniteWorld, kl, optimal_policy, unsafe_mass
from safedpo.finite.methods import best_multiplier, expected_cost
from safedpo.finite.walker import PREMISES, candidates, read_walks, search, write_walks
from safedpo.finite.walker.premise import AGREE, APART

WALKS = {(walk.statement, walk.name): walk for walk in read_walks()}
ALL = [(statement, name) for statement, premises in PREMISES.items() for name in premises]
NONE = {("Prop. 4.3", "pairs evenly drawn"), ("Prop. 4.4", "Δ ≥ 0"), ("Prop. 4.4", "on-policy pairs")}


def test_the_stored_walks_are_those_of_the_premises():
    assert list(WALKS) == ALL and len(ALL) >= 20
    assert {key for key, walk in WALKS.items() if walk.world is None} == NONE


@pytest.mark.parametrize("key", ALL, ids="-".join)
def test_a_fresh_search_finds_what_is_stored(key):
    fresh, stored = search(PREMISES[key[0]][key[1]], seed=WALKS[key].seed), WALKS[key]
    assert (
        fresh.sentence.split(" agree to")[0].split("disagreement")[0]
        == stored.sentence.split(" agree to")[0].split("disagreement")[0]
    )
    assert abs(fresh.left - stored.left) < AGREE and abs(fresh.right - stored.right) < AGREE
    if stored.world is not None:
        for name in ("ref_logps", "reward", "unsafe", "cost"):
            torch.testing.assert_close(getattr(fresh.world, name), getattr(stored.world, name))


@pytest.mark.parametrize("key", ALL, ids="-".join)
def test_it_disagrees_without_and_agrees_with_the_premise(key):
    walk = WALKS[key]
    assert walk.control <= AGREE and walk.residual <= AGREE
    assert (abs(walk.left - walk.right) > APART) == (key not in NONE)


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("key", sorted(NONE), ids="-".join)
def test_no_other_seed_finds_one_either(key, seed):
    assert search(PREMISES[key[0]][key[1]], seed=seed).world is None


def test_a_world_without_safe_support_by_the_exact_world():
    world = WALKS["Prop. 4.2", "safe support"].world
    lost = world.ref_logps.masked_fill(~world.unsafe, -math.inf).log_softmax(-1)
    gone = FiniteWorld(lost, world.reward, world.unsafe)
    assert unsafe_mass(gone, optimal_policy(gone, 0.5, penalty=30.0)).item() == pytest.approx(1.0, abs=1e-9)
    with pytest.raises(UserError, match="no safe answer"):
        optimal_policy(gone, 0.5)


def by_hand(world, *, bits=None, wins=None):
    """The loss of T's pairs at log-ratios 0, 1/2, ...: a plain double loop over the first prompt."""
    bits, reward = world.unsafe[0].tolist() if bits is None else bits, world.reward[0].tolist()
    total = 0.0
    for i, j in itertools.combinations(range(world.answers), 2):
        if bits[i] and bits[j]:
            continue
        p = (
            (not bits[i])
            if bits[i] != bits[j]
            else (wins or (lambda a, b: 1 / (1 + math.exp(b - a))))(reward[i], reward[j])
        )
        total += p * math.log1p(math.exp(-0.5 * (i - j))) + (1 - p) * math.log1p(math.exp(-0.5 * (j - i)))
    return total


def test_both_sides_of_proposition_4_3_by_two_loops():
    walk = WALKS["Prop. 4.3", "right bits"]
    bits = walk.world.unsafe[0].tolist()
    wrong = [bad and i != bits.index(True) for i, bad in enumerate(bits)]
    assert walk.left == pytest.approx(by_hand(walk.world), abs=1e-9)
    assert walk.right == pytest.approx(by_hand(walk.world, bits=wrong), abs=1e-9)
    walk = WALKS["Prop. 4.3", "Bradley-Terry labels"]
    assert walk.left == pytest.approx(by_hand(walk.world), abs=1e-9)
    assert walk.right == pytest.approx(by_hand(walk.world, wins=lambda a, b: (1 + (a > b) - (a < b)) / 2), abs=1e-9)


def test_noisy_bits_end_at_the_closed_form():
    from safedpo.finite import bit_flip_margin

    walk = WALKS["Prop. 4.4", "right bits"]
    world, far = walk.world, []
    safe_wins = torch.sigmoid(world.reward[0, 0] - world.reward[0, 1]).item()
    for delta in (0.0, 5.0):
        margin = bit_flip_margin(0.1, safe_wins, delta)
        odds = math.exp(margin + (world.ref_logps[0, 0] - world.ref_logps[0, 1]).item())
        far.append(1 / (1 + odds))  # two answers: TV to pi* is the unsafe mass
    assert walk.left == pytest.approx(max(far), abs=1e-9)


def test_without_the_swap_dpo_s_optimum_is_reached():
    walk = WALKS["Prop. 4.4", "the swap"]
    assert walk.left == pytest.approx(
        unsafe_mass(walk.world, optimal_policy(walk.world, 1.0, penalty=0.0)).item(), abs=1e-9
    )


def test_the_gap_of_pure_answers_by_linear_programming():
    world = WALKS["C-DPO, strong duality", "the KL term"].world
    walk, cost, reward = WALKS["C-DPO, strong duality", "the KL term"], world.cost[0].numpy(), world.reward[0].numpy()
    start = (world.ref_logps + world.reward / 0.5).softmax(-1)[0].numpy() @ cost
    limit = (cost.min() + start) / 2
    best = linprog(-reward, A_ub=[cost], b_ub=[limit], A_eq=[[1.0] * len(cost)], b_eq=[1.0])
    assert walk.right == pytest.approx(-best.fun, abs=1e-9)
    assert walk.left == pytest.approx(max(r for r, c in zip(reward, cost, strict=True) if c <= limit), abs=1e-9)


def test_stale_samples_leave_the_free_optimum():
    walk = WALKS["C-DPO, strong duality", "on-policy costs"]
    free = optimal_policy(walk.world, 0.5, penalty=0.0)
    assert walk.left == pytest.approx(expected_cost(walk.world, free).item(), abs=1e-9)
    assert walk.right == pytest.approx(expected_cost(walk.world, walk.world.ref_logps).item(), abs=1e-9)


def test_the_price_at_the_boundary_keeps_growing():
    walk = WALKS["C-DPO, strong duality", "Slater: room below the limit"]
    least = walk.world.cost.min().item()
    prices = [best_multiplier(walk.world, 0.5, least + hair) for hair in (1e-6, 1e-3)]
    assert prices == pytest.approx([walk.left, walk.right], abs=1e-6)
    with pytest.raises(UserError, match="cannot be held"):
        best_multiplier(walk.world, 0.5, least)
    assert kl(walk.world.ref_logps, walk.world.ref_logps).item() == 0


def test_candidates_are_small_first_and_differ():
    worlds = candidates(3, seed=0)
    assert worlds.unsafe[0].tolist() == [False, False, True] and worlds.reward[0].tolist() == [0, 0, 0]
    rows = {
        (tuple(r), tuple(q), tuple(h))
        for r, q, h in zip(worlds.reward.tolist(), worlds.ref_logps.tolist(), worlds.unsafe.tolist(), strict=True)
    }
    assert len(rows) == worlds.prompts == 4 * 27 + 60


def test_a_statement_that_fails_with_its_premises_is_not_walked():
    honest = PREMISES["Prop. 4.2"]["right bits"]
    broken = replace(
        honest,
        sides=lambda world, removed: (
            torch.ones(world.prompts),
            torch.zeros(world.prompts),
            torch.zeros(world.prompts),
        ),
    )
    with pytest.raises(UserError, match="with all its premises"):
        search(broken)
    vague = replace(
        honest,
        sides=lambda world, removed: (
            torch.full((world.prompts,), float(removed)),
            torch.zeros(world.prompts),
            torch.ones(world.prompts),
        ),
    )
    with pytest.raises(UserError, match="two routes differ"):
        search(vague)


def test_what_is_written_can_be_read(tmp_path):
    write_walks(list(WALKS.values()), tmp_path / "walks.json")
    assert [walk.sentence for walk in read_walks(tmp_path / "walks.json")] == [walk.sentence for walk in WALKS.values()]
    with pytest.raises(UserError, match="is not there"):
        read_walks(tmp_path / "none.json")
