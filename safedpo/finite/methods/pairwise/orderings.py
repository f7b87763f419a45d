"""Methods that train one table by the logistic loss on ordered pairs: DPO on four orderings, SafeDPO and its two halves.

`pairs` are raw preference data: chosen is the more helpful answer. Under `rule="helpful"` a loss sees them as they
are (as published); `rule="safedpo"` puts T in front. The optimum of each stands below it, for data in which every
pair of answers is equally frequent and labels follow Bradley-Terry.
"""

from typing import Unpack

from torch import Tensor

from safedpo.finite.methods.checked import checked
from safedpo.finite.methods.outcome import STEPS, TOLERANCE, Costs, FitSettings, Outcome, Shape, logistic, train
from safedpo.finite.optimum import optimal_policy
from safedpo.finite.pairs import Pairs
from safedpo.finite.world import FiniteWorld

LABELS = {
    "helpful": ("better",),
    "harmless": ("safer",),
    "safebetter": ("better", "bits"),
    "safedpo": ("better", "bits"),
}


def ordered(
    method: str,
    source: str,
    world: FiniteWorld,
    pairs: Pairs,
    rule: str,
    beta: float,
    seed: int,
    steps: int,
    tolerance: float,
    *,
    shape: Shape | None = None,
    **settings: Unpack[FitSettings],
) -> Outcome:
    """One table trained on the pairs ordered by `rule`, whose labels `LABELS` names; `shape` (logistic) is its loss's.


    >>> from safedpo.finite import population, six_answers
    >>> pairs = population(six_answers())
    >>> done = ordered("demo", "here", six_answers(), pairs, "harmless", 0.5, 0, 10, 10.0)
    >>> done.method, done.costs.labels == {"safer": len(pairs)}
    ('demo', True)
    """
    costs = Costs(tables=1)
    costs.use_labels(pairs, *LABELS[rule])
    with costs.timed():
        logps, norm = train(
            method,
            world,
            pairs.transform(rule),
            costs,
            shape=shape or logistic(beta),
            beta=beta,
            steps=steps,
            tolerance=tolerance,
            seeds=(seed,),
            **settings,
        )
    return Outcome(method, logps, costs, source, norm)


@checked
def dpo_helpful(
    world: FiniteWorld, pairs: Pairs, *, beta: float, seed: int = 0, steps: int = STEPS, tolerance: float = TOLERANCE
) -> Outcome:
    """DPO on all pairs, the more helpful answer chosen. Optimum pi_ref exp(r / beta) (arXiv 2305.18290, Eq. 4).

    >>> from safedpo.finite import population, six_answers, tv
    >>> done = dpo_helpful(six_answers(), population(six_answers()), beta=0.5, steps=1000)
    >>> tv(done.logps, dpo_helpful_optimum(six_answers(), beta=0.5)).item() < 1e-6
    True
    """
    return ordered("DPO-helpful", "arXiv 2305.18290, Eq. 7", world, pairs, "helpful", beta, seed, steps, tolerance)


@checked
def dpo_helpful_optimum(world: FiniteWorld, *, beta: float) -> Tensor:
    """pi_ref exp(r / beta) / Z, (P, A).

    >>> from safedpo.finite import six_answers
    >>> change = dpo_helpful_optimum(six_answers(), beta=0.5) - six_answers().ref_logps
    >>> round((change[0, 4] - change[0, 0]).item(), 9)  # (1.8 - 1.0) / 0.5
    1.6
    """
    return optimal_policy(world, beta, penalty=0.0)


@checked
def dpo_harmless(
    world: FiniteWorld, pairs: Pairs, *, beta: float, seed: int = 0, steps: int = STEPS, tolerance: float = TOLERANCE
) -> Outcome:
    """DPO on all pairs, the safer answer chosen. Optimum pi_ref exp(-c / beta) where safer labels follow the cost
    (`methods.safer_by_cost`); where a safe answer surely is the safer one, that policy without its unsafe answers.

    >>> from safedpo.finite import population, six_answers, tv
    >>> from safedpo.finite.methods.learned import safer_by_cost
    >>> world = six_answers()
    >>> done = dpo_harmless(world, safer_by_cost(world, population(world)), beta=0.5, steps=1000)
    >>> tv(done.logps, dpo_harmless_optimum(world, beta=0.5)).item() < 1e-2
    True
    """
    return ordered(
        "DPO-harmless", "arXiv 2505.20065, section 5", world, pairs, "harmless", beta, seed, steps, tolerance
    )


@checked
def dpo_harmless_optimum(world: FiniteWorld, *, beta: float) -> Tensor:
    """pi_ref exp(-c / beta) / Z, (P, A) [derived: Bradley-Terry labels under -c].

    >>> from safedpo.finite import six_answers
    >>> change = dpo_harmless_optimum(six_answers(), beta=0.5) - six_answers().ref_logps
    >>> round((change[0, 0] - change[0, 5]).item(), 9)  # (1.0 + 1.0) / 0.5
    4.0
    """
    return (world.ref_logps - world.cost / beta).log_softmax(-1)


@checked
def dpo_safebetter(
    world: FiniteWorld, pairs: Pairs, *, beta: float, seed: int = 0, steps: int = STEPS, tolerance: float = TOLERANCE
) -> Outcome:
    """DPO on the pairs whose more helpful answer is safe. With exact data its optimum is pi* as well [derived]: each
    unsafe answer sometimes loses to a safe one, and nothing speaks for it.

    >>> from safedpo.finite import population, six_answers, tv
    >>> done = dpo_safebetter(six_answers(), population(six_answers()), beta=0.5, steps=1000)
    >>> tv(done.logps, safe_optimum(six_answers(), beta=0.5)).item() < 1e-2
    True
    """
    return ordered(
        "DPO-safebetter", "arXiv 2505.20065, section 5", world, pairs, "safebetter", beta, seed, steps, tolerance
    )


@checked
def safe_optimum(world: FiniteWorld, *, beta: float, **own) -> Tensor:
    """pi* of Eq. 9, the optimum of SafeDPO for every delta (Prop. 4.4), of T only and of DPO-safebetter, (P, A).

    >>> from safedpo.finite import six_answers
    >>> change = (safe_optimum(six_answers(), beta=0.5) - six_answers().ref_logps)[0]
    >>> change[4:].tolist(), round((change[0] - change[1]).item(), 9)  # (1.0 - 0.6) / 0.5
    ([-inf, -inf], 0.8)
    """
    return optimal_policy(world, beta)


@checked
def t_only(
    world: FiniteWorld, pairs: Pairs, *, beta: float, seed: int = 0, steps: int = STEPS, tolerance: float = TOLERANCE
) -> Outcome:
    """SafeDPO without its margin: T, then DPO (Eq. 11).

    >>> from safedpo.finite import population, six_answers, unsafe_mass
    >>> done = t_only(six_answers(), population(six_answers()), beta=0.5, steps=1000)
    >>> unsafe_mass(six_answers(), done.logps).item() < 1e-2
    True
    """
    return ordered("T only", "arXiv 2505.20065, Eq. 11", world, pairs, "safedpo", beta, seed, steps, tolerance)


@checked
def delta_only(
    world: FiniteWorld,
    pairs: Pairs,
    *,
    beta: float,
    seed: int = 0,
    delta: float = 2.0,
    steps: int = STEPS,
    tolerance: float = TOLERANCE,
) -> Outcome:
    """SafeDPO without T: the margin on helpful pairs. Optimum pi_ref exp((r - delta h) / beta) [derived].

    >>> from safedpo.finite import population, six_answers, tv
    >>> done = delta_only(six_answers(), population(six_answers()), beta=0.5, delta=2.0, steps=1000)
    >>> tv(done.logps, delta_only_optimum(six_answers(), beta=0.5, delta=2.0)).item() < 1e-3
    True
    """
    done = ordered(
        "Delta only",
        "arXiv 2505.20065, Eq. 12 without T",
        world,
        pairs,
        "helpful",
        beta,
        seed,
        steps,
        tolerance,
        delta=delta,
    )
    done.costs.use_labels(pairs, "better", "bits")
    return done


@checked
def delta_only_optimum(world: FiniteWorld, *, beta: float, delta: float = 2.0) -> Tensor:
    """pi_C of Prop. 4.2 with C = delta, (P, A) [derived].

    >>> from safedpo.finite import six_answers
    >>> change = delta_only_optimum(six_answers(), beta=0.5, delta=2.0) - six_answers().ref_logps
    >>> round((change[0, 4] - change[0, 0]).item(), 9)  # (1.8 - 2 - 1.0) / 0.5
    -2.4
    """
    return optimal_policy(world, beta, penalty=delta)


@checked
def safedpo(
    world: FiniteWorld,
    pairs: Pairs,
    *,
    beta: float,
    seed: int = 0,
    delta: float = 2.0,
    steps: int = STEPS,
    tolerance: float = TOLERANCE,
) -> Outcome:
    """SafeDPO: T, then DPO with the margin delta on safe-over-unsafe pairs (Eq. 12). Optimum pi* for every delta.

    >>> from safedpo.finite import population, six_answers, unsafe_mass
    >>> done = safedpo(six_answers(), population(six_answers()), beta=0.5, delta=5.0, steps=1000)
    >>> unsafe_mass(six_answers(), done.logps).item() < 1e-6, done.costs.tables, done.costs.samples
    (True, 1, 0)
    """
    return ordered(
        "SafeDPO", "arXiv 2505.20065, Eq. 12", world, pairs, "safedpo", beta, seed, steps, tolerance, delta=delta
    )
