"""T and its rivals against the truth table written out by hand."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from safedpo.errors import UserError
from safedpo.transform import GROUPS, count_pairs, order_pairs, pair_groups

# (better, unsafe_0, unsafe_1) -> (chosen, kept) for each rule; None where the pair is dropped. Written by hand.
TABLE = [
    # better u0     u1      safedpo helpful safebetter
    (0, False, False, 0, 0, 0),
    (1, False, False, 1, 1, 1),
    (0, False, True, 0, 0, 0),
    (1, False, True, 0, 1, None),
    (0, True, False, 1, 0, None),
    (1, True, False, 1, 1, 1),
    (0, True, True, None, 0, None),
    (1, True, True, None, 1, None),
]

pairs = st.lists(st.tuples(st.integers(0, 1), st.booleans(), st.booleans()), min_size=1, max_size=40)


def split(rows):
    return [r[0] for r in rows], torch.tensor([[r[1], r[2]] for r in rows])


@pytest.mark.parametrize("column, rule", [(3, "safedpo"), (4, "helpful"), (5, "safebetter")])
def test_all_label_combinations(column, rule):
    better, unsafe = split(TABLE)
    chosen, keep = order_pairs(better, unsafe, rule)
    for row, c, k in zip(TABLE, chosen.tolist(), keep.tolist(), strict=True):
        assert k == (row[column] is not None)
        if k:
            assert c == row[column]


def test_harmless_follows_the_safer_label_and_keeps_everything():
    better, unsafe = split(TABLE)
    safer = [1, 0, 1, 0, 1, 0, 1, 0]
    chosen, keep = order_pairs(better, unsafe, "harmless", safer=safer)
    assert chosen.tolist() == safer and keep.all()


@given(pairs)
def test_after_t_nothing_unsafe_is_chosen_and_t_is_idempotent(rows):
    better, unsafe = split(rows)
    chosen, keep = order_pairs(better, unsafe)
    kept_chosen, kept_unsafe = chosen[keep], unsafe[keep]
    assert not kept_unsafe[torch.arange(len(kept_chosen)), kept_chosen].any()
    again, keep_again = order_pairs(kept_chosen, kept_unsafe)
    assert torch.equal(again, kept_chosen) and keep_again.all()


@given(pairs)
def test_counts_add_up(rows):
    better, unsafe = split(rows)
    n = count_pairs(better, unsafe)
    by_hand = [
        sum(1 for b, u0, u1 in rows if ((u0, u1)[b], (u0, u1)[1 - b]) == g)
        for g in ((False, False), (False, True), (True, False), (True, True))
    ]
    assert [n[g] for g in GROUPS] == by_hand
    assert n["kept"] == len(rows) - by_hand[3] and n["dropped"] == by_hand[3] and n["swapped"] == by_hand[2]


@given(pairs, st.permutations([0, 1]))
def test_t_does_not_depend_on_which_response_stands_first(rows, order):
    better, unsafe = split(rows)
    chosen, keep = order_pairs(better, unsafe)
    moved = [order.index(b) for b in better]
    chosen_moved, keep_moved = order_pairs(moved, unsafe[:, order])
    assert torch.equal(keep, keep_moved)
    assert [order[c] for c in chosen_moved[keep].tolist()] == chosen[keep].tolist()


def test_groups_name_the_better_response_first():
    better, unsafe = split(TABLE)
    assert [GROUPS[g] for g in pair_groups(better, unsafe)] == ["SS", "SS", "SU", "US", "US", "SU", "UU", "UU"]


def test_wrong_labels_are_refused_with_their_place():
    good = [[False, False], [False, True]]
    with pytest.raises(ValueError, match=r"better\[1\] is 2"):
        order_pairs([0, 2], good)
    with pytest.raises(ValueError, match="bool"):
        order_pairs([0, 1], [[0, 0], [0, 1]])
    with pytest.raises(ValueError, match="shape"):
        order_pairs([0, 1, 1], good)
    with pytest.raises(ValueError, match="safer="):
        order_pairs([0, 1], good, "harmless")
    with pytest.raises(ValueError, match="known rules"):
        order_pairs([0, 1], good, "helpfull")


@pytest.mark.parametrize("function", [order_pairs, pair_groups, count_pairs])
@pytest.mark.parametrize(
    "unsafe",
    [
        [[2, 3], [0, 1]],  # not flags
        [[False, True]],  # one row too few
        torch.zeros(2, 3, dtype=torch.bool),
        torch.zeros(4, dtype=torch.bool),
        torch.zeros(2, 2),
        [],
    ],
    ids=str,
)
def test_every_function_refuses_what_is_no_table_of_flags(function, unsafe):
    with pytest.raises(UserError, match=r"unsafe must be bool of shape \(2, 2\)"):
        function([0, 1], unsafe)


def test_a_transposed_table_is_refused():
    """Counted by `reshape` it gave other groups, in silence."""
    unsafe = torch.tensor([[False, True], [False, True], [True, True]])
    assert count_pairs([0, 1, 0], unsafe)["UU"] == 1
    with pytest.raises(UserError, match="shape"):
        count_pairs([0, 1, 0], unsafe.T)


def test_no_pairs_at_all_are_counted_as_none():
    assert set(count_pairs([], []).values()) == {0}
    chosen, keep = order_pairs([], torch.zeros(0, 2, dtype=torch.bool))
    assert chosen.shape == keep.shape == (0,)
    with pytest.raises(UserError, match="shape"):
        order_pairs([], [[True, False]])


@pytest.mark.parametrize("better", [[[0, 1]], [0, -1], [0.5, 1.0], 1], ids=str)
def test_labels_that_are_none_are_refused(better):
    with pytest.raises(UserError, match="better"):
        order_pairs(better, [[False, False], [False, True]])
    with pytest.raises(UserError, match=r"safer must have shape \(2,\)"):
        order_pairs([0, 1], [[False, False], [False, True]], "harmless", safer=[0, 1, 1])
    with pytest.raises(UserError, match=r"safer\[0\] is 3"):
        order_pairs([0, 1], [[False, False], [False, True]], "harmless", safer=[3, 1])


@pytest.mark.parametrize(("column", "rule"), [(3, "safedpo"), (4, "helpful"), (5, "safebetter")])
def test_counts_follow_the_rule(column, rule):
    better, unsafe = split(TABLE)
    found = count_pairs(better, unsafe, rule)
    kept = [row for row in TABLE if row[column] is not None]
    assert (found["kept"], found["dropped"]) == (len(kept), len(TABLE) - len(kept))
    assert found["swapped"] == sum(row[column] != row[0] for row in kept)


def test_harmless_swaps_are_counted():
    better, unsafe = split(TABLE)
    assert count_pairs(better, unsafe, "harmless", safer=[1 - b for b in better])["swapped"] == len(TABLE)
