"""Each final formula of the problem set and of the exam's marking, against sums, searches and autograd in drawn worlds."""

import math

import pytest
import torch
from scipy.integrate import quad, solve_ivp
from scipy.optimize import minimize, minimize_scalar


@pytest.fixture(params=(1, 2, 3))
def world(request):
    """A reference, a reward, unsafe flags, beta: plain doubles."""
    draw = torch.Generator().manual_seed(request.param)
    ref = torch.rand(6, generator=draw, dtype=torch.float64) + 0.05
    reward = 2 * torch.randn(6, generator=draw, dtype=torch.float64)
    return ref / ref.sum(), reward, torch.tensor([0, 1, 0, 1, 1, 0], dtype=torch.bool), 0.3 + 0.4 * request.param


def kl(p, q):
    return sum(a * math.log(a / b) for a, b in zip(p.tolist(), q.tolist(), strict=True) if a)


def value(p, ref, reward, beta):
    return float(p @ reward) - beta * kl(p, ref)


def softplus(x):
    return math.log1p(math.exp(-abs(x))) + max(x, 0.0)


def sigma(x):
    return math.exp(-softplus(-x))


def searched(ref, reward, beta, among):
    """The best policy on the answers `among`, by a search over logits that knows no closed form."""

    def loss(z):
        p = torch.zeros_like(ref)
        p[among] = torch.tensor(z).softmax(0)
        return -value(p, ref, reward, beta)

    found = torch.zeros_like(ref)
    found[among] = torch.tensor(minimize(loss, [0.0] * int(among.sum()), options={"gtol": 1e-9}).x).softmax(0)
    return found


def test_1_to_3_gibbs_the_safe_optimum_and_ratios(world):
    ref, reward, unsafe, beta = world
    weight = ref * (reward / beta).exp()
    best, safe = weight / weight.sum(), (weight * ~unsafe) / weight[~unsafe].sum()
    other = torch.rand(6, dtype=torch.float64, generator=torch.Generator().manual_seed(9))
    for p, optimum, z in (
        (other / other.sum(), best, weight.sum()),
        (other * ~unsafe / other[~unsafe].sum(), safe, weight[~unsafe].sum()),
    ):
        assert value(p, ref, reward, beta) == pytest.approx(beta * math.log(z) - beta * kl(p, optimum), abs=1e-12)
    assert torch.allclose(searched(ref, reward, beta, ~unsafe), safe, atol=1e-4)
    assert torch.allclose(searched(ref, reward, beta, torch.ones_like(unsafe)), best, atol=1e-4)
    assert best[0] / best[2] == pytest.approx((safe[0] / safe[2]).item())


@pytest.mark.parametrize("tau", [0.3, 0.05, 1e-4])
def test_4_the_least_penalty_for_a_total_variation(world, tau):
    ref, reward, unsafe, beta = world
    weight = ref * (reward / beta).exp()
    inside, outside = weight[~unsafe].sum().item(), weight[unsafe].sum().item()

    def variation(c):
        tilted = weight * (-c / beta * unsafe.double()).exp()
        return 0.5 * (tilted / tilted.sum() - weight * ~unsafe / inside).abs().sum().item()

    told = max(0.0, beta * math.log(outside / inside) + beta * math.log((1 - tau) / tau))
    assert variation(told) <= tau + 1e-12
    assert told == 0 or variation(told - 1e-6) > tau
    for c in (0.0, 1.0, 3.0):
        share = math.exp(-c / beta) * outside
        assert variation(c) == pytest.approx(share / (inside + share))


@pytest.mark.parametrize("p", [0.02, 0.5, 0.9])
def test_5_the_coin(p):
    found = minimize_scalar(lambda m: p * softplus(-m) + (1 - p) * softplus(m), bracket=(-5, 5), tol=1e-12)
    assert found.x == pytest.approx(math.log(p / (1 - p)), abs=1e-5)
    assert found.fun == pytest.approx(-p * math.log(p) - (1 - p) * math.log(1 - p))


@pytest.mark.parametrize(("chosen_unsafe", "rejected_unsafe"), [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_6_the_shift_in_loss_and_gradient(chosen_unsafe, rejected_unsafe):
    beta, delta = 0.7, 3.0

    def loss(logps, refs, margin):
        m = beta * ((logps[0] - refs[0]) - (logps[1] - refs[1]))
        return torch.nn.functional.softplus(-(m - margin))

    refs, bits = torch.tensor([-4.0, -2.5]).double(), torch.tensor([chosen_unsafe, rejected_unsafe]).double()
    found = []
    for columns, margin in ((refs, delta * (bits[1] - bits[0])), (refs - delta / beta * bits, 0.0)):
        logps = torch.tensor([-3.0, -6.0], dtype=torch.float64, requires_grad=True)
        one = loss(logps, columns, margin)
        found.append((one.item(), *torch.autograd.grad(one, logps)[0].tolist()))
    assert found[0] == pytest.approx(found[1])


@pytest.mark.parametrize("delta", [0.0, 10.0])
def test_7_the_sequence_drives_mixed_pairs_to_0_and_safe_pairs_to_their_least(world, delta):
    ref, reward, unsafe, beta = world
    weight = ref * (reward / beta).exp() * ~unsafe
    mixed, safe = [], []
    for n in (1e2, 1e6, 1e12, 1e40):
        policy = weight / weight.sum() + ref / n
        implicit = beta * ((policy / policy.sum()) / ref).log()
        mixed.append(max(softplus(delta - (implicit[a] - implicit[b]).item()) for a in (0, 2, 5) for b in (1, 3, 4)))
        p, m = sigma((reward[0] - reward[2]).item()), (implicit[0] - implicit[2]).item()
        safe.append(p * softplus(-m) + (1 - p) * softplus(m) + p * math.log(p) + (1 - p) * math.log(1 - p))
    assert mixed == sorted(mixed, reverse=True) and 0 < mixed[-1] < 1e-6
    assert abs(safe[-1]) < 1e-12 <= safe[0]


@pytest.mark.parametrize("delta", [0.5, 3.0, 10.0])
def test_8_the_time_to_saturation(delta):
    beta, eta = 0.4, 0.6
    told = (delta + 1 - math.exp(-delta)) / (2 * beta**2 * eta)
    assert quad(lambda m: 1 / (2 * beta**2 * eta * sigma(delta - m)), 0, delta)[0] == pytest.approx(told)
    logits = [0.0, 0.0]  # the flow of two logits themselves; the reference is where they start

    def flow(_, z):
        pull = eta * beta * sigma(delta - beta * (z[0] - z[1]))
        return [pull, -pull]

    end = solve_ivp(flow, (0, told), logits, rtol=1e-9, atol=1e-9).y[:, -1]
    assert beta * (end[0] - end[1]) == pytest.approx(delta, rel=1e-6)


def test_the_exam_s_marks_that_are_numbers(world):
    ref, reward, _, beta = world
    facts = []
    for b in (beta, 2 * beta):  # question 2: both fall
        policy = (ref.log() + reward / b).softmax(0)
        facts.append((float(policy @ reward), kl(policy, ref)))
    assert facts[1] < facts[0] and facts[1][1] < facts[0][1]
    for margin, loss, weight in ((0.0, math.log(2), 0.5), (4.0, math.log1p(math.exp(4)), sigma(4))):  # question 5
        m = torch.zeros((), dtype=torch.float64, requires_grad=True)
        one = torch.nn.functional.softplus(margin - m)
        assert one.item() == pytest.approx(loss)
        assert -torch.autograd.grad(one, m)[0].item() == pytest.approx(weight)
    policy, cost = torch.tensor([0.5, 0.25, 0.25]), torch.tensor([-1.0, 1.0, 0.5])  # question 4: a budget of harm
    assert policy @ cost <= 0 and policy[cost > 0].sum() == 0.5
