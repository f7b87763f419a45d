"""The first line of a training log, with a planted fault in the pipeline behind it."""

import random

import torch
from torch import Tensor
from torch.nn.functional import softplus

from safedpo.labs.checking import Exercise

SOUND, FORGOTTEN, WRONG_SIGN, NO_SWAP, EVERYWHERE, INSIDE, OTHER = range(7)
NAMES = (
    "sound",
    "Δ forgotten",
    "Δ with the wrong sign",
    "T forgotten",
    "Δ on every pair",
    "Δ inside β",
    "another fault",
)


def first_log(fault: int, beta: float, delta: float) -> tuple[float, ...]:
    """Mean first losses of SS, SU and US pairs (groups before T) of a pipeline with this fault, at the reference."""
    x: dict[int, tuple[float, ...]] = {
        SOUND: (0, 1, 1),
        FORGOTTEN: (0, 0, 0),
        WRONG_SIGN: (0, -1, -1),
        NO_SWAP: (0, 1, -1),
        EVERYWHERE: (1, 1, 1),
    }
    if fault == INSIDE:
        x[INSIDE] = (0, beta, beta)
    if fault == OTHER:  # a reference that is not the policy: margins are not 0 at first
        return tuple(softplus(torch.tensor(delta * i - 0.37, dtype=torch.float64)).item() for i in (0, 1, 1))
    return tuple(softplus(torch.tensor(delta * i, dtype=torch.float64)).item() for i in x[fault])


LOGS = tuple((*first_log(fault, b, d), b, d) for fault in range(7) for b, d in ((0.1, 10.0), (2.0, 0.7)))


def fault_by_search(ss: float, su: float, us: float, beta: float, delta: float) -> Tensor:
    """The fault whose first losses these are."""
    for fault in range(OTHER):
        if max(abs(a - b) for a, b in zip((ss, su, us), first_log(fault, beta, delta), strict=True)) < 1e-6:
            return torch.tensor(float(fault))
    return torch.tensor(float(OTHER))


def draw_log(draw: random.Random) -> tuple:
    beta, delta = draw.choice((0.05, 0.3, 3.0)), draw.uniform(0.5, 12)
    return *first_log(draw.randrange(7), beta, delta), beta, delta


def _reads(change):
    """A reader who confuses faults: `change(code, case)`."""
    return lambda *case: torch.tensor(float(change(int(fault_by_search(*case)), case)))


def _only(*keep):
    return _reads(lambda code, _: code if code in keep else OTHER)


READ_FIRST_LOG = Exercise(
    gives="the number of a fault, 0 to 6",
    cases=LOGS,
    right=fault_by_search,
    mistakes={
        "Faults 1 and 2 are confused: without Δ every group starts at log 2.": _reads(
            lambda code, _: {1: 2, 2: 1}.get(code, code)
        ),
        "Not every departure is fault 6: five have values of their own.": _only(SOUND, OTHER),
        "SS pairs start at log 2 in a sound run; here everything sounds sound.": lambda *a: torch.tensor(0.0),
        "The US group is not looked at: T forgotten shows there alone.": _reads(
            lambda code, _: SOUND if code == NO_SWAP else code
        ),
        "The SS group is not looked at: a margin on every pair shows there alone.": _reads(
            lambda code, _: SOUND if code == EVERYWHERE else code
        ),
        "Δ inside β has its own value, softplus(βΔ).": _reads(lambda code, _: OTHER if code == INSIDE else code),
        "A reference that is not the policy's start fits none of the five: that is 6.": _reads(
            lambda code, _: SOUND if code == OTHER else code
        ),
        "The order of the list: 3 is T forgotten, 4 is Δ on every pair.": _reads(
            lambda code, _: {3: 4, 4: 3}.get(code, code)
        ),
    },
    hints=(
        "At the reference every m is 0, so a pair costs softplus of what stands beside m. What is that, fault by fault?",
        "Sound: 0, Δ, Δ for SS, SU, US. T forgotten: the US pair is still chosen unsafe, so its margin is −Δ.",
        "A table of six triples of multiples of Δ: (0,1,1) (0,0,0) (0,−1,−1) (0,1,−1) (1,1,1) (0,β,β); none fits: 6.",
    ),
)
