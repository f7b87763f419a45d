"""Cases drawn for grading: arguments of an exercise that no notebook shows, from a seed.

Each function draws one case on which the exercise's own independent computation is exact; exercises that read a number
off a figure have no cases to draw.
"""

import random
from collections.abc import Callable

import torch
from torch import Tensor

from safedpo.labs.checks.exercises import nb01, nb02, nb03, nb04, nb05, nb06, nb07, nb08

Case = tuple
Drawer = Callable[[random.Random], Case]


def _floats(draw: random.Random, size: int, low: float, high: float) -> Tensor:
    return torch.tensor([draw.uniform(low, high) for _ in range(size)], dtype=torch.float64)


def _bits(draw: random.Random, size: int) -> Tensor:
    return torch.tensor([draw.random() < 0.5 for _ in range(size)])


def _policy(draw: random.Random, prompts: int, answers: int) -> Tensor:
    return torch.stack([_floats(draw, answers, -2, 2) for _ in range(prompts)]).log_softmax(-1)


def implicit_reward(draw: random.Random) -> Case:
    """Two policies over the same answers, and beta."""
    answers = draw.randint(2, 6)
    return _policy(draw, 2, answers), _policy(draw, 2, answers), draw.uniform(0.05, 5)


def pair_columns(draw: random.Random) -> Case:
    """Four columns of log-probabilities, and beta."""
    size = draw.randint(2, 6)
    return *(_floats(draw, size, -40, -0.1) for _ in range(4)), draw.uniform(0.05, 3)


def flagged_pair_columns(draw: random.Random) -> Case:
    """Four columns of log-probabilities, both safety bits in every combination, beta and delta."""
    columns = tuple(_floats(draw, 8, -40, -0.1) for _ in range(4))
    return *columns, _bits(draw, 8), _bits(draw, 8), draw.uniform(0.05, 3), draw.uniform(0, 30)


def safe_policy(draw: random.Random) -> Case:
    """A reference, rewards, and bits that leave every prompt a safe answer."""
    prompts, answers = draw.randint(1, 3), draw.randint(3, 6)
    unsafe = torch.stack([_bits(draw, answers) for _ in range(prompts)])
    unsafe[:, draw.randrange(answers)] = False
    reward = torch.stack([_floats(draw, answers, -2, 2) for _ in range(prompts)])
    return _policy(draw, prompts, answers), reward, unsafe, draw.uniform(0.2, 3)


def order_pairs(draw: random.Random) -> Case:
    """Labels of pairs in every group."""
    size = draw.randint(8, 16)
    return _bits(draw, size).long(), torch.stack([_bits(draw, size), _bits(draw, size)], 1)


def gradient_weight(draw: random.Random) -> Case:
    """Reward margins, both bits, delta."""
    return _floats(draw, 6, -6, 6), _bits(draw, 6), _bits(draw, 6), draw.uniform(0, 5)


def shift_reference(draw: random.Random) -> Case:
    """Reference log-probabilities, bits, beta and delta."""
    return _floats(draw, 5, -60, -1), _bits(draw, 5), draw.uniform(0.05, 3), draw.uniform(0, 30)


def sacpo_steps(draw: random.Random) -> Case:
    """A reference, rewards and costs of one prompt, beta and lambda."""
    answers = draw.randint(3, 6)
    tables = (_policy(draw, 1, answers), _floats(draw, answers, -1, 2)[None], _floats(draw, answers, -2, 2)[None])
    return *tables, draw.uniform(0.3, 2), draw.uniform(0.1, 3)


def kl_to_optimum(draw: random.Random) -> Case:
    """An optimum that never gives some answers, and a policy."""
    best = _policy(draw, 2, 6)
    best[:, draw.randrange(6)] = -torch.inf
    return best.log_softmax(-1), _policy(draw, 2, 6)


def prompt_prices(draw: random.Random) -> Case:
    """A reference, rewards and signed costs of a few prompts, beta, and a limit that can be met."""
    prompts, answers = draw.randint(1, 4), draw.randint(2, 5)
    reward, cost = (torch.stack([_floats(draw, answers, -1, 2) for _ in range(prompts)]) for _ in range(2))
    cost[:, 0] = -1.5  # one answer is well below every limit
    return _policy(draw, prompts, answers), reward, cost, draw.uniform(0.2, 1), draw.uniform(-0.5, 0.5)


def scaled_policy(draw: random.Random) -> Case:
    """A reference, a trained policy that never gives some answer, a strength."""
    trained = _policy(draw, 1, 5)[0]
    trained[draw.randrange(5)] = -torch.inf
    return _policy(draw, 1, 5)[0], trained.log_softmax(-1), draw.choice((0.0, 0.5, 1.0, 2.5))


def step_loss(draw: random.Random) -> Case:
    """The mean losses of a few micro-batches, and their sizes."""
    count = draw.randint(1, 5)
    return _floats(draw, count, 0, 9), tuple(draw.randint(1, 8) for _ in range(count))


HIDDEN: dict[str, Drawer] = {
    "scaled_policy": scaled_policy,
    "step_loss": step_loss,
    "implicit_reward": implicit_reward,
    "dpo_loss": pair_columns,
    "dpo_gradient": pair_columns,
    "safe_policy": safe_policy,
    "needed_penalty": lambda draw: (
        draw.uniform(-3, 3),
        draw.uniform(-3, 3),
        draw.uniform(0.05, 3),
        10 ** draw.uniform(-4, -1),
    ),
    "order_pairs": order_pairs,
    "safedpo_loss": flagged_pair_columns,
    "gradient_weight": gradient_weight,
    "shift_reference": shift_reference,
    "t_under_noise": lambda draw: (draw.uniform(0.01, 0.45), draw.uniform(0.05, 0.95)),
    "dual_update": lambda draw: (
        draw.uniform(0, 2),
        draw.uniform(-1, 1),
        draw.uniform(-0.5, 0.5),
        draw.uniform(0.1, 1),
    ),
    "sacpo_steps": sacpo_steps,
    "kl_to_optimum": kl_to_optimum,
    "step_zero_loss": lambda draw: (draw.randint(1, 300), draw.randint(1, 300), draw.uniform(0, 20)),
    "lora_parameters": lambda draw: (
        tuple((draw.randint(2, 40), draw.randint(2, 40)) for _ in range(draw.randint(1, 4))),
        draw.randint(1, 8),
    ),
    "prompt_prices": prompt_prices,
    "samples_needed": lambda draw: (
        draw.uniform(-2, 0),
        draw.uniform(1, 3),
        draw.uniform(0.1, 0.5),
        draw.uniform(0.01, 0.2),
    ),
    "error_over_prompts": lambda draw: (torch.stack([_floats(draw, 3, 0, 1) for _ in range(draw.randint(4, 12))]),),
}
for further in (nb01, nb02, nb03, nb04, nb05, nb06, nb07, nb08):
    HIDDEN |= further.HIDDEN
