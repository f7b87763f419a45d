"""Cat-DPO: a safety margin for each category of harm, raised while that category is still too frequent."""

import torch
from torch import Tensor

from safedpo.errors import UserError
from safedpo.finite.fit import NotConvergedError
from safedpo.finite.methods.checked import checked
from safedpo.finite.methods.outcome import Costs, Outcome, dpo, sample_answers
from safedpo.finite.optimum import unsafe_mass
from safedpo.finite.pairs import Pairs
from safedpo.finite.world import FiniteWorld

SOURCE = "after arXiv 2604.17299 (the rule for the margins is ours)"


@checked
def category_step(delta: Tensor, rate: Tensor, target: float, eta: float) -> Tensor:
    """Delta_k <- [Delta_k + eta (u_k - u*)]+, (K,): up while category k is above its target, down after.

    The rule is ours: the paper's (arXiv 2604.17299) could not be read.

    >>> category_step(torch.tensor([1.0, 0.0]), torch.tensor([0.5, 0.0]), target=0.1, eta=2.0).tolist()
    [1.7999999523162842, 0.0]
    """
    if delta.shape != rate.shape:
        raise UserError(f"delta has shape {tuple(delta.shape)}, rate {tuple(rate.shape)}; give one number a category")
    return (delta + eta * (rate - target)).clamp(min=0.0)


@checked
def cat_dpo(
    world: FiniteWorld,
    pairs: Pairs,
    *,
    beta: float,
    seed: int = 0,
    categories: Tensor | None = None,
    target: float = 0.01,
    eta: float = 20.0,
    samples: int = 1000,
    rounds: int = 20,
    steps: int = 200,
) -> Outcome:
    """SafeDPO with one margin for each category of harm, moved by `category_step` after each round of training.

    `categories` (P, A) int64 names the harm of each unsafe answer (what it says of safe ones is not used); without it
    each answer index is a category of its own. A margin for each answer is a shifted reference
    (`losses.shift_reference`), log pi_ref(y) - Delta_k(y) / beta. Each round draws `samples` answers to measure the
    rate of every category; it ends when all are at most `target`, else `NotConvergedError`. `history` holds each
    round's largest and smallest margin and unsafe mass.

    >>> from safedpo.finite import population, six_answers, unsafe_mass
    >>> done = cat_dpo(six_answers(), population(six_answers()), beta=0.5)
    >>> unsafe_mass(six_answers(), done.logps).item() < 0.03, "category" in done.costs.labels
    (True, True)
    """
    categories = _checked(world, categories)
    costs, draw, history, logps = Costs(tables=1), torch.Generator().manual_seed(seed), [], world.ref_logps
    costs.use_labels(pairs, "better", "bits")
    costs.labels["category"] = 2 * len(pairs)
    kept, delta = pairs.transform("safedpo"), torch.zeros(int(categories.max()) + 1, dtype=torch.float64)
    with costs.timed():
        for _ in range(rounds):
            shifted = world.ref_logps - torch.where(world.unsafe, delta[categories], 0.0) / beta
            logps, norm = dpo("Cat-DPO", world, kept, costs, beta, steps, None, reference=shifted, start=logps)
            drawn = sample_answers(logps, -(-samples // world.prompts), draw)
            costs.samples += drawn.numel()
            harm, which = world.unsafe.gather(1, drawn).double().flatten(), categories.gather(1, drawn).flatten()
            rate = torch.zeros_like(delta).index_add(0, which, harm) / drawn.numel()
            margins = {"least": delta.min().item(), "most": delta.max().item()}
            history.append(margins | {"unsafe_mass": unsafe_mass(world, logps).mean().item()})
            if rate.max() <= target:
                return Outcome("Cat-DPO", logps, costs, SOURCE, norm, None, tuple(history))
            delta = category_step(delta, rate, target, eta)
    raise NotConvergedError("Cat-DPO's loop over margins", rounds, rate.max().item(), target, loop="largest rate")


def _checked(world: FiniteWorld, categories: Tensor | None) -> Tensor:
    """The category of each answer, (P, A) int64; by default each answer index is one of its own."""
    if categories is None:
        return torch.arange(world.answers).expand(world.prompts, -1)
    if not isinstance(categories, Tensor):
        raise UserError(f"categories is {type(categories).__name__}; give an int64 tensor of shape (P, A)")
    found = categories
    if found.shape != world.unsafe.shape or found.dtype != torch.int64 or found.min() < 0:
        raise UserError(
            f"categories is {found.dtype} of shape {tuple(found.shape)}; it must be int64, at least 0, of shape "
            f"{tuple(world.unsafe.shape)}"
        )
    return found
