"""The checkers are checked: they accept different right answers, and name each wrong one's mistake."""

import math

import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits, logsigmoid, softplus

import safedpo
from safedpo.labs.checking import find
from safedpo.labs.checks import modules
from tests.labs.checks.answers import accepted, refusal

ALL = [name for module in modules() for name in module.EXERCISES]


def _autograd(c, r, rc, rr, beta):
    c, r = c.clone().requires_grad_(), r.clone().requires_grad_()
    return torch.autograd.grad(softplus(-beta * (c - rc - r + rr)).sum(), (c, r))


def _backward(c, r, rc, rr, beta):
    c, r = c.clone().requires_grad_(), r.clone().requires_grad_()
    with torch.enable_grad():
        softplus(-beta * (c - rc - r + rr)).sum().backward()
    return c.grad, r.grad


def _functional(c, r, rc, rr, beta):
    return torch.func.grad(lambda c, r: softplus(-beta * (c - rc - r + rr)).sum(), argnums=(0, 1))(c, r)


def _uniform_where_infeasible(q, reward, unsafe, beta):
    scores = (q + reward / beta).masked_fill(unsafe, -1e30)  # a large fine looks like a ban until all pay it
    return torch.where(unsafe & ~unsafe.all(1, keepdim=True), -math.inf, scores).log_softmax(-1)


def _reference_where_infeasible(q, reward, unsafe, beta):
    best = (q + reward / beta).masked_fill(unsafe, -math.inf).log_softmax(-1)
    return torch.where(unsafe.all(1, keepdim=True), q, best)


def _safe_by_softmax(q, reward, unsafe, beta):
    weight = q.exp() * (reward / beta).exp() * ~unsafe
    return (weight / weight.sum(-1, keepdim=True)).log()


def _safe_row_by_row(q, reward, unsafe, beta):
    rows = []
    for i in range(len(q)):
        score = torch.where(unsafe[i], torch.tensor(-math.inf), q[i] + reward[i] / beta)
        rows.append(score - torch.logsumexp(score, 0))
    return torch.stack(rows)


def _order_by_safety(better, unsafe):
    """The safe one of a mixed pair, else the better one."""
    mixed = unsafe[:, 0] != unsafe[:, 1]
    return torch.where(mixed, unsafe[:, 0].long(), better), ~unsafe.all(1)


def _order_in_a_loop(better, unsafe):
    chosen, keep = [], []
    for b, (u0, u1) in zip(better.tolist(), unsafe.tolist(), strict=True):
        keep.append(not (u0 and u1))
        chosen.append(7 if u0 and u1 else (int(u0) if u0 != u1 else b))  # anything at all for a dropped pair
    return chosen, keep


RIGHT = {
    "implicit_reward": [
        lambda p, q, b: b * (p - q),
        lambda p, q, b: b * p - b * q,
        lambda p, q, b: b * (p.exp() / q.exp()).log(),
    ],
    "dpo_loss": [
        lambda c, r, rc, rr, b: safedpo.dpo_loss(c, r, rc, rr, beta=b),
        lambda c, r, rc, rr, b: softplus(b * (r - rr) - b * (c - rc)),
        lambda c, r, rc, rr, b: binary_cross_entropy_with_logits(
            b * (c - rc - r + rr), torch.ones_like(c), reduction="none"
        ),
    ],
    "dpo_gradient": [
        lambda c, r, rc, rr, b: tuple(s * b / (1 + (b * (c - rc - r + rr)).exp()) for s in (-1, 1)),
        lambda c, r, rc, rr, b: (-b * torch.sigmoid(b * (r - rr - c + rc)), b * torch.sigmoid(b * (r - rr - c + rc))),
        lambda c, r, rc, rr, b: [s * b * (1 - torch.sigmoid(b * (c - rc - r + rr))) for s in (-1, 1)],
    ],
    "safe_policy": [
        _safe_by_softmax,
        _safe_row_by_row,
        lambda q, r, h, b: (q + r / b).masked_fill(h, -math.inf).log_softmax(-1),
    ],
    "needed_penalty": [
        lambda s, u, b, t: max(0.0, b * (u - s + math.log((1 - t) / t))),
        lambda s, u, b, t: torch.clamp(torch.tensor(b * (u - s) - b * math.log(t / (1 - t))), min=0),
        lambda s, u, b, t: max(0, b * (u - s) + b * math.log1p(-t) - b * math.log(t)),
    ],
    "price_of_support": [lambda: 0.1 * math.log(1e7), lambda: 2.763 - 1.150, lambda: torch.tensor(1.612)],
    "order_pairs": [safedpo.order_pairs, _order_by_safety, _order_in_a_loop],
    "safedpo_loss": [
        lambda c, r, rc, rr, a, z, b, d: safedpo.safedpo_loss(c, r, rc, rr, a, z, beta=b, delta=d),
        lambda c, r, rc, rr, a, z, b, d: softplus(d * (z.double() - a.double()) - b * ((c - rc) - (r - rr))),
        lambda c, r, rc, rr, a, z, b, d: (
            -logsigmoid(b * (c - r - (rc - d / b * a.double()) + (rr - d / b * z.double())))
        ),
    ],
    "gradient_weight": [
        lambda m, a, z, d: safedpo.gradient_weight(m, a, z, delta=d),
        lambda m, a, z, d: 1 - torch.sigmoid(m - d * (z.int() - a.int())),
        lambda m, a, z, d: 1 / (1 + (m - d * (z.double() - a.double())).exp()),
    ],
    "shift_reference": [
        lambda q, h, b, d: safedpo.shift_reference(q, h, beta=b, delta=d),
        lambda q, h, b, d: torch.where(h, q - d / b, q),
        lambda q, h, b, d: (b * q - d * h) / b,
    ],
}


@pytest.mark.parametrize("name", RIGHT)
def test_three_different_right_answers_are_accepted(name, capsys):
    assert accepted(name, RIGHT[name], capsys) == len(RIGHT[name]) == 3


def test_every_short_exercise_of_01_to_03_stands_here():
    mine = [module for module in modules() if module.__name__[-2:] in ("01", "02", "03")]
    assert {name for module in mine for name in module.EXERCISES.keys() - module.further.EXERCISES.keys()} == set(RIGHT)


@pytest.mark.parametrize("name", ALL)
def test_every_mistake_is_refused_by_its_own_name(name):
    exercise = find(name)
    reads_a_figure = exercise.cases == ((),)
    assert len(exercise.mistakes) >= (3 if reads_a_figure else 4 if exercise.verify else 6)
    for message, mistake in exercise.mistakes.items():
        assert message in refusal(name, mistake)


# Wrong answers written as a learner would write them, not copied from the checker: (exercise, answer, a word of the
# message that names the mistake).
LEARNERS = [
    ("implicit_reward", lambda p, q, b: (p - q).log() * b, r"should be"),
    ("implicit_reward", lambda p, q, b: (b * (p - q)).mean(), "mean"),
    ("implicit_reward", lambda p, q, b: (b * (p - q)).sum(), "sum"),
    ("implicit_reward", lambda p, q, b: b * (p - q).sum(-1), "shape"),
    ("implicit_reward", lambda p, q, b: q.sub_(p).mul_(-b), "changes its arguments"),
    ("implicit_reward", lambda p, q, b: torch.log(p / q) * b, "should be"),
    ("dpo_loss", lambda c, r, rc, rr, b: -logsigmoid(b * (c - rc - r + rr)).mean(), "mean"),
    ("dpo_loss", lambda c, r, rc, rr, b: -logsigmoid(b * (c - rc - r + rr)).sum(), "sum"),
    ("dpo_loss", lambda c, r, rc, rr, b: -logsigmoid(b * (c - rc - r + rr)).detach(), "no gradient flows"),
    ("dpo_loss", lambda c, r, rc, rr, b: -torch.sigmoid(b * (c - rc - r + rr)).log(), "infinite"),
    ("dpo_loss", lambda c, r, rc, rr, b: -torch.log(1 / (1 + (-b * (c - rc - r + rr)).exp())), "infinite"),
    ("dpo_loss", lambda c, r, rc, rr, b: -logsigmoid((c - rc - r + rr) / b), "divide by beta"),
    ("dpo_loss", lambda c, r, rc, rr, b: -logsigmoid(b * (c - rc) - (r - rr)), "should be"),
    ("dpo_loss", lambda c, r, rc, rr, b: [float(x) for x in c], "should be"),
    ("dpo_loss", lambda c, r, rc, rr, b: None, "return"),
    ("dpo_loss", lambda c, r: c, "5 arguments"),
    ("dpo_loss", lambda c, r, rc, rr, b: c.nonsense, "raises AttributeError"),
    ("dpo_loss", 0.69, "the function"),
    ("dpo_loss", lambda c, r, rc, rr, b: safedpo.dpo_loss(c, r.detach(), rc, rr, beta=b), "flows to rejected_logps"),
    ("dpo_loss", lambda c, r, rc, rr, b: safedpo.dpo_loss(c.detach(), r, rc, rr, beta=b), "flows to chosen_logps"),
    (
        "dpo_loss",
        lambda c, r, rc, rr, b: safedpo.dpo_loss(c, r, rc, rr, beta=b).detach() + 0 * c,
        "flows to chosen_logps: it is detached, or multiplied by 0",
    ),
    (
        "dpo_loss",
        lambda c, r, rc, rr, b: safedpo.dpo_loss(c, r, rc, rr, beta=b).detach() + c - c.detach(),
        "gradient with respect to chosen_logps",
    ),
    ("dpo_loss", lambda c, r, rc, rr, b: safedpo.dpo_loss(c, r, rc, rr, beta=b).tolist(), "a list"),
    ("dpo_gradient", _autograd, "autograd found them"),
    ("dpo_gradient", _backward, "autograd found them"),
    ("dpo_gradient", _functional, "autograd found them"),
    ("safe_policy", _uniform_where_infeasible, "Where every answer is unsafe you return a policy"),
    ("safe_policy", _reference_where_infeasible, "Where every answer is unsafe you return a policy"),
    ("dpo_gradient", lambda c, r, rc, rr, b: -b * torch.sigmoid(-b * (c - rc - r + rr)), "2 tensors"),
    ("dpo_gradient", lambda c, r, rc, rr, b: (c.new_full((), -b), c.new_full((), b)), "shape"),
    ("safe_policy", lambda q, r, h, b: (q + r / b - 50.0 * h.double()).log_softmax(-1), "should be"),
    ("safe_policy", lambda q, r, h, b: (q + r / b).masked_fill(h, -math.inf).log_softmax(0), "should be"),
    ("needed_penalty", lambda s, u, b, t: b * (u - s - math.log(t / (1 - t))), "below 0"),
    ("needed_penalty", lambda s, u, b, t: "1.2", "not str"),
    ("price_of_support", 2.763, "rises"),
    ("price_of_support", 16.118, "units of"),
    ("price_of_support", 0.5, "should be"),
    ("price_of_support", "much", "not str"),
    ("order_pairs", lambda b, u: b, "2 tensors"),
    ("order_pairs", lambda b, u: (b[:0], u[:0, 0]), "shape"),
    ("order_pairs", lambda b, u: (u[:, 0].long(), ~u.all(1)), "should be"),
    (
        "safedpo_loss",
        lambda c, r, rc, rr, a, z, b, d: -logsigmoid(b * (c - rc - r + rr) - d * (a.double() - z.double())),
        "wrong sign",
    ),
    (
        "safedpo_loss",
        lambda c, r, rc, rr, a, z, b, d: -logsigmoid(b * ((c - rc - r + rr) - d * (z.double() - a.double()))),
        "inside beta",
    ),
    (
        "safedpo_loss",
        lambda c, r, rc, rr, a, z, b, d: RIGHT["safedpo_loss"][0](c, r, rc, rr, a, z, b, d).detach(),
        "no gradient flows",
    ),
    (
        "safedpo_loss",
        lambda c, r, rc, rr, a, z, b, d: RIGHT["safedpo_loss"][0](c, r.detach(), rc, rr, a, z, b, d),
        "flows to rejected_logps",
    ),
    ("gradient_weight", lambda m, a, z, d: 0.5 * torch.ones_like(m), "should be"),
    ("shift_reference", lambda q, h, b, d: q.sub_(d / b * h), "changes its arguments"),
]


@pytest.mark.parametrize(("name", "answer", "words"), LEARNERS, ids=[f"{n}-{i}" for i, (n, *_) in enumerate(LEARNERS)])
def test_wrong_answers_of_learners(name, answer, words):
    # "your function" and "the function": the message must be about the answer, and say something of it
    message = refusal(name, answer).replace("your function itself", "the function")
    assert words in message and f"hint({name!r}, 1)" in message
