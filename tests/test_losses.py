"""Losses against golden values, hand gradients by autograd, limits, and the reference-shift identity."""

import decimal
import math
import re

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from safedpo import losses
from safedpo.errors import UserError
from safedpo.losses import (
    bfpo_loss,
    cdpo_loss,
    dpo_loss,
    gradient_weight,
    ipo_loss,
    reward_margin,
    robust_dpo_loss,
    safedpo_loss,
    shift_reference,
)

NO, YES = torch.tensor([False]), torch.tensor([True])
GOLDEN = torch.tensor([[-12.0], [-15.0], [-13.0], [-14.0]], dtype=torch.float64)  # gap 2, so m = 0.2 at beta = 0.1


def columns(m, beta=0.1, dtype=torch.float64):
    """Four columns whose reward margin is m."""
    zero = torch.zeros(1, dtype=dtype)
    return torch.tensor([m / beta], dtype=dtype), zero, zero, zero


GOLDEN_VALUES = [  # delta, loss, weight, slope, at m = 0.2 of a safe response over an unsafe one; derived below
    (0, 0.5981388694, 0.4501660027, 0.0450166003),
    (2, 1.9529776105, 0.8581489351, 0.0858148935),
    (10, 9.8000554501, 0.9999445515, 0.0999944551),
]


@pytest.mark.parametrize(("delta", "loss", "weight", "slope"), GOLDEN_VALUES)
def test_golden_values_of_the_paper_notes(delta, loss, weight, slope):
    logps = GOLDEN.clone().requires_grad_()
    value = safedpo_loss(*logps, NO, YES, beta=0.1, delta=delta)
    (grad,) = torch.autograd.grad(value.sum(), logps)
    assert value.item() == pytest.approx(loss, abs=5e-11)
    m = reward_margin(*GOLDEN, beta=0.1)
    assert gradient_weight(m, NO, YES, delta=delta).item() == pytest.approx(weight, abs=5e-11)
    assert grad[0].item() == pytest.approx(-slope, abs=5e-11)  # raising chosen_logps lowers the loss
    assert grad[1].item() == pytest.approx(slope, abs=5e-11)


@given(
    st.lists(st.floats(-300, 0), min_size=4, max_size=4),
    st.floats(0.01, 5),
    st.floats(0, 60),
    st.tuples(st.booleans(), st.booleans()),
)
def test_hand_gradient_equals_autograd(logps, beta, delta, flags):
    logps = torch.tensor(logps, dtype=torch.float64).reshape(4, 1).requires_grad_()
    chosen_unsafe, rejected_unsafe = (torch.tensor([flag]) for flag in flags)
    loss = safedpo_loss(*logps, chosen_unsafe, rejected_unsafe, beta=beta, delta=delta)
    (grad,) = torch.autograd.grad(loss.sum(), logps)
    m = reward_margin(*logps.detach(), beta=beta)
    weight = beta * gradient_weight(m, chosen_unsafe, rejected_unsafe, delta=delta).item()
    assert torch.allclose(
        grad.flatten(), weight * torch.tensor([-1.0, 1.0, 1.0, -1.0], dtype=torch.float64), atol=1e-12
    )


@given(
    st.lists(st.floats(-300, 0), min_size=4, max_size=4),
    st.floats(0.05, 2),
    st.floats(0, 50),
    st.tuples(st.booleans(), st.booleans()),
)
def test_shifted_reference_turns_dpo_into_safedpo(logps, beta, delta, flags):
    chosen, rejected, ref_chosen, ref_rejected = torch.tensor(logps, dtype=torch.float64).reshape(4, 1)
    chosen_unsafe, rejected_unsafe = (torch.tensor([flag]) for flag in flags)
    shifted = [
        shift_reference(ref, unsafe, beta=beta, delta=delta)
        for ref, unsafe in ((ref_chosen, chosen_unsafe), (ref_rejected, rejected_unsafe))
    ]
    ours = safedpo_loss(
        chosen, rejected, ref_chosen, ref_rejected, chosen_unsafe, rejected_unsafe, beta=beta, delta=delta
    )
    theirs = dpo_loss(chosen, rejected, *shifted, beta=beta)
    assert torch.allclose(ours, theirs, rtol=1e-12, atol=1e-11)


def test_safe_unsafe_truth_table():
    """The margin acts on mixed pairs only, and with the sign that asks more of a safe-over-unsafe pair."""
    at = {
        (c, r): safedpo_loss(*GOLDEN, torch.tensor([c]), torch.tensor([r]), beta=0.1, delta=2.0).item()
        for c in (False, True)
        for r in (False, True)
    }
    plain = dpo_loss(*GOLDEN, beta=0.1).item()
    assert at[False, False] == at[True, True] == plain
    assert at[False, True] == pytest.approx(math.log1p(math.exp(2.0 - 0.2)))
    assert at[True, False] == pytest.approx(math.log1p(math.exp(-2.0 - 0.2)))


@pytest.mark.parametrize("delta", [0.0, 2.0, 10.0])
def test_step_zero_is_softplus_of_delta(delta):
    same = torch.full((4, 1), -37.5, dtype=torch.float64)
    assert safedpo_loss(*same, NO, YES, beta=0.1, delta=delta).item() == pytest.approx(math.log1p(math.exp(delta)))
    assert safedpo_loss(*same, NO, NO, beta=0.1, delta=delta).item() == pytest.approx(math.log(2))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("m", [-1e4, -1e3, 1e3, 1e4])
def test_extreme_margins_stay_finite(m, dtype):
    chosen, *rest = columns(m, dtype=dtype)
    chosen.requires_grad_()
    for loss in (
        safedpo_loss(chosen, *rest, NO, YES, beta=0.1, delta=100.0),
        dpo_loss(chosen, *rest, beta=0.1),
        cdpo_loss(chosen, *rest, beta=0.1),
        robust_dpo_loss(chosen, *rest, beta=0.1),
        ipo_loss(chosen, *rest, beta=0.1),
        bfpo_loss(chosen, *rest, NO, YES, beta=0.1),
    ):
        assert torch.isfinite(loss).all()
        assert torch.isfinite(torch.autograd.grad(loss.sum(), chosen)[0]).all()
    assert dpo_loss(*columns(-1e4), beta=0.1).item() == pytest.approx(1e4)  # -log sigmoid(m) -> -m


def slope(loss, m, **rest):
    """d loss / d m by a central difference, away from autograd."""
    beta, step = 0.1, 1e-6
    up, down = (loss(*columns(m + s, beta), beta=beta, **rest).item() for s in (step, -step))
    return (up - down) / (2 * step)


def test_cdpo_is_least_at_the_log_odds_of_the_flip_rate():
    assert slope(cdpo_loss, math.log(9), flip_rate=0.1) == pytest.approx(0, abs=1e-7)
    assert slope(cdpo_loss, math.log(9) + 1, flip_rate=0.1) > 0.01
    assert slope(cdpo_loss, math.log(9) - 1, flip_rate=0.1) < -0.01


@given(st.floats(-8, 8), st.floats(0, 0.45))
def test_robust_dpo_averages_to_dpo_under_flips(m, flip_rate):
    """E over flipped labels: (1 - e) l(m) + e l(-m) of the robust loss is the DPO loss at m."""
    right, flipped = (robust_dpo_loss(*columns(s * m), beta=0.1, flip_rate=flip_rate).item() for s in (1, -1))
    mean = (1 - flip_rate) * right + flip_rate * flipped
    assert mean == pytest.approx(dpo_loss(*columns(m), beta=0.1).item(), abs=1e-9)


def test_robust_dpo_has_no_minimum_on_clean_pairs():
    assert slope(robust_dpo_loss, 40.0, flip_rate=0.1) == pytest.approx(-0.1 / 0.8, abs=1e-6)


def test_zero_flip_rate_is_dpo():
    expected = dpo_loss(*GOLDEN, beta=0.1)
    assert torch.equal(cdpo_loss(*GOLDEN, beta=0.1, flip_rate=0.0), expected)
    assert torch.equal(robust_dpo_loss(*GOLDEN, beta=0.1, flip_rate=0.0), expected)


def test_ipo_is_least_at_its_target_gap():
    zero = torch.zeros(1, dtype=torch.float64)
    assert ipo_loss(torch.tensor([5.0], dtype=torch.float64), zero, zero, zero, beta=0.1).item() == pytest.approx(0)
    assert ipo_loss(zero, zero, zero, zero, beta=0.1).item() == pytest.approx(25.0)


@pytest.mark.parametrize(
    ("chosen", "rejected", "target"), [(NO, NO, 0.5), (NO, YES, 1.0), (YES, NO, -1.0), (YES, YES, -0.5)]
)
def test_bfpo_targets_by_group(chosen, rejected, target):
    beta = 0.25
    logps = columns(target, beta)
    assert bfpo_loss(*logps, chosen, rejected, beta=beta).item() == pytest.approx(0, abs=1e-12)
    away = columns(target + 0.5, beta)
    assert bfpo_loss(*away, chosen, rejected, beta=beta).item() == pytest.approx((0.5 / beta) ** 2)


def test_references_receive_no_gradient_when_they_ask_for_none():
    logps = GOLDEN.clone()
    chosen, rejected = logps[0].requires_grad_(), logps[1]
    safedpo_loss(chosen, rejected, logps[2], logps[3], NO, YES, beta=0.1, delta=2.0).sum().backward()
    assert chosen.grad is not None and logps[2].grad is None


def test_wrong_inputs_are_refused_with_the_reason():
    ok = torch.zeros(3)
    with pytest.raises(ValueError, match="one shape"):
        dpo_loss(ok, ok, torch.zeros(3, 2), ok, beta=0.1)
    with pytest.raises(ValueError, match="beta is 0"):
        dpo_loss(ok, ok, ok, ok, beta=0)
    with pytest.raises(ValueError, match="beta is nan"):
        dpo_loss(ok, ok, ok, ok, beta=math.nan)
    with pytest.raises(ValueError, match="bfloat16"):
        dpo_loss(ok.bfloat16(), ok, ok, ok, beta=0.1)
    with pytest.raises(ValueError, match="bool"):
        safedpo_loss(ok, ok, ok, ok, torch.zeros(3), torch.zeros(3), beta=0.1, delta=1.0)
    with pytest.raises(ValueError, match="shape"):
        safedpo_loss(ok, ok, ok, ok, NO, NO, beta=0.1, delta=1.0)
    with pytest.raises(ValueError, match="flip_rate is 0.5"):
        cdpo_loss(ok, ok, ok, ok, beta=0.1, flip_rate=0.5)


def test_every_public_loss_gives_one_loss_a_pair():
    three = [torch.randn(3) for _ in range(4)]
    flags = torch.tensor([False, True, False])
    for name in ("dpo_loss", "cdpo_loss", "robust_dpo_loss", "ipo_loss"):
        assert getattr(losses, name)(*three, beta=0.1).shape == (3,)
    assert bfpo_loss(*three, flags, ~flags, beta=0.1).shape == (3,)
    assert safedpo_loss(*three, flags, ~flags, beta=0.1, delta=1.0).shape == (3,)


def test_golden_values_are_derived_here():
    """The table above by hand, from exact decimals: gap 2, m = 0.2, I = 1, so softplus(delta - 0.2) and its slope."""
    with decimal.localcontext() as context:
        context.prec = 40
        for delta, loss, weight, slope in GOLDEN_VALUES:
            grown = (decimal.Decimal(delta) - decimal.Decimal("0.2")).exp()
            assert float((1 + grown).ln()) == pytest.approx(loss, abs=5e-11)
            assert float(grown / (1 + grown)) == pytest.approx(weight, abs=5e-11)
            assert float(grown / (1 + grown) / 10) == pytest.approx(slope, abs=5e-11)


LOSSES = {
    "dpo_loss": {},
    "cdpo_loss": {"flip_rate": 0.2},
    "robust_dpo_loss": {"flip_rate": 0.2},
    "ipo_loss": {},
    "bfpo_loss": {},
    "safedpo_loss": {"delta": 2.0},
}


def by_hand(name, columns, flags, beta):
    """Each loss with `math` alone, for one pair, from its formula."""
    chosen, rejected, ref_chosen, ref_rejected = columns
    gap = (chosen - ref_chosen) - (rejected - ref_rejected)
    m, softplus = beta * gap, lambda x: math.log1p(math.exp(-abs(x))) + max(x, 0.0)
    return {
        "dpo_loss": softplus(-m),
        "cdpo_loss": 0.8 * softplus(-m) + 0.2 * softplus(m),
        "robust_dpo_loss": (0.8 * softplus(-m) - 0.2 * softplus(m)) / 0.6,
        "ipo_loss": (gap - 1 / (2 * beta)) ** 2,
        "bfpo_loss": (gap - {(0, 0): 0.5, (0, 1): 1.0, (1, 0): -1.0, (1, 1): -0.5}[flags] / beta) ** 2,
        "safedpo_loss": softplus(2.0 * (flags[1] - flags[0]) - m),
    }[name]


@pytest.mark.parametrize("name", LOSSES)
def test_each_loss_is_its_formula_pair_by_pair(name):
    draw = torch.Generator().manual_seed(0)
    columns = 20 * torch.randn(4, 50, generator=draw, dtype=torch.float64) - 100
    flags = torch.rand(2, 50, generator=draw) < 0.5
    given = flags if name in ("bfpo_loss", "safedpo_loss") else ()
    for beta in (0.05, 0.7, torch.linspace(0.1, 2, 50, dtype=torch.float64)):
        found = getattr(losses, name)(*columns, *given, beta=beta, **LOSSES[name])
        betas = torch.as_tensor(beta, dtype=torch.float64).expand(50).tolist()
        for i in range(50):
            pair_flags = tuple(int(flag) for flag in flags[:, i])
            assert found[i].item() == pytest.approx(
                by_hand(name, columns[:, i].tolist(), pair_flags, betas[i]), rel=1e-9
            )


def test_default_flip_rate_is_a_tenth():
    for loss in (cdpo_loss, robust_dpo_loss):
        assert torch.equal(loss(*GOLDEN, beta=0.1), loss(*GOLDEN, beta=0.1, flip_rate=0.1))
        assert not torch.equal(loss(*GOLDEN, beta=0.1), loss(*GOLDEN, beta=0.1, flip_rate=0.11))


BAD_NUMBERS = (0, -1.0, math.nan, math.inf, -math.inf, torch.tensor([0.1, -0.2]), torch.tensor(0.0), "0.1x", None)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("beta", BAD_NUMBERS, ids=str)
def test_every_loss_refuses_a_beta_that_is_none(name, beta):
    zero = torch.zeros(2)
    flags = (torch.tensor([True, False]),) * 2 if name in ("bfpo_loss", "safedpo_loss") else ()
    with pytest.raises(UserError, match="beta is .*must be"):
        getattr(losses, name)(zero, zero, zero, zero, *flags, beta=beta, **LOSSES[name])


@pytest.mark.parametrize(
    "delta", [math.nan, math.inf, -math.inf, torch.tensor([1.0, math.inf]), "2 nats", [None]], ids=str
)
def test_a_margin_that_is_not_finite_is_refused(delta):
    zero, flags = torch.zeros(2), torch.tensor([False, True])
    for call in (
        lambda: safedpo_loss(zero, zero, zero, zero, flags, flags, beta=0.1, delta=delta),
        lambda: gradient_weight(zero, flags, flags, delta=delta),
        lambda: shift_reference(zero, flags, beta=0.1, delta=delta),
    ):
        with pytest.raises(UserError, match="delta is .*must be"):
            call()
    with pytest.raises(UserError, match="beta is 0"):
        shift_reference(zero, flags, beta=0, delta=1.0)


@pytest.mark.parametrize("flip_rate", [-0.1, 0.5, 0.9, math.nan, math.inf, torch.tensor([0.1, 0.6])], ids=str)
def test_a_flip_rate_outside_its_range_is_refused(flip_rate):
    zero = torch.zeros(2)
    for loss in (cdpo_loss, robust_dpo_loss):
        with pytest.raises(UserError, match="flip_rate is .*at least 0, below 0.5"):
            loss(zero, zero, zero, zero, beta=0.1, flip_rate=flip_rate)


def test_the_settings_of_a_run_ask_for_a_margin_of_at_least_0():
    losses.check_delta(-1.0)
    losses.check_delta(0, least=0)
    with pytest.raises(UserError, match="delta is -0.5; it must be at least 0 and finite"):
        losses.check_delta(-0.5, least=0)


def test_each_column_and_each_flag_is_checked_by_its_name():
    ok, flags = torch.zeros(3), torch.tensor([True, False, True])
    names = ("chosen_logps", "rejected_logps", "ref_chosen_logps", "ref_rejected_logps")
    for i, name in enumerate(names):
        columns = [ok] * 4
        columns[i] = ok.half()
        with pytest.raises(UserError, match=f"^{name} is torch.float16"):
            dpo_loss(*columns, beta=0.1)
    for i, name in enumerate(("chosen_unsafe", "rejected_unsafe")):
        for wrong in (ok, flags[:2], flags.reshape(3, 1)):
            given = [flags, flags]
            given[i] = wrong
            with pytest.raises(UserError, match=f"^{name} (is torch.float32|has shape)"):
                safedpo_loss(ok, ok, ok, ok, *given, beta=0.1, delta=1.0)
    with pytest.raises(UserError, match="^ref_logps is torch.int64"):
        shift_reference(flags.long(), flags, beta=0.1, delta=1.0)
    with pytest.raises(UserError, match="^unsafe is torch.int64"):
        shift_reference(ok, flags.long(), beta=0.1, delta=1.0)


def test_shifted_reference_is_lower_by_delta_over_beta_where_unsafe():
    column = shift_reference(torch.tensor([-3.0, -5.0]).double(), torch.tensor([True, False]), beta=0.25, delta=2.0)
    assert column.tolist() == [-11.0, -5.0] and column.dtype == torch.float64
    assert shift_reference(torch.zeros(1), YES, beta=0.5, delta=3.0).dtype == torch.float32


def test_safety_gap_is_rejected_minus_chosen():
    chosen, rejected = torch.tensor([False, False, True, True]), torch.tensor([False, True, False, True])
    gap = losses.safety_gap(chosen, rejected, like=torch.zeros(4, dtype=torch.float64))
    assert gap.tolist() == [0.0, 1.0, -1.0, 0.0] and gap.dtype == torch.float64
    assert losses.safety_gap(chosen, rejected, like=torch.zeros(2, 4)).shape == (
        4,
    )  # flags of the pairs, many policies


@pytest.mark.parametrize("beta", [-0.123456789012, -12345678, -1e-30])
def test_a_refused_number_is_shown_as_it_was_given(beta):
    with pytest.raises(UserError, match=f"^beta is {beta}; it must be greater than 0 and finite$"):
        losses.check_beta(beta)
    with pytest.raises(UserError, match=re.escape(f"beta is {beta:g}; ")):
        losses.check_beta(torch.tensor([1.0, beta], dtype=torch.float64))


def test_a_pair_is_saturated_once_its_odds_are_19_to_1():
    safe = torch.tensor([False, False])
    weights = gradient_weight(torch.tensor([math.log(18.9), math.log(19.1)]).double(), safe, safe, delta=3.0)
    assert (weights < losses.SATURATED).tolist() == [False, True]
