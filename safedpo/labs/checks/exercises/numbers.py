"""Numbers by other means than torch's, and cases drawn from a seed, for the shorter exercises.

Each drawing function below makes one case on which the exercise's own independent computation is exact. It stands as the
`draw` of its exercise; exercises that read a number off a figure have none.
"""

import math
import random

import torch
from torch import Tensor


def log_sigmoid(x: float) -> float:
    """log sigmoid of one number with the standard library alone: the other way the checkers compute losses.

    >>> round(log_sigmoid(0.0) + math.log(2), 12)
    0.0
    """
    return -math.log1p(math.exp(-x)) if x >= 0 else x - math.log1p(math.exp(x))


def t(*rows: float | list) -> Tensor:
    """A double tensor of the numbers."""
    return torch.tensor(rows, dtype=torch.float64)


def _floats(draw: random.Random, size: int, low: float, high: float) -> Tensor:
    return torch.tensor([draw.uniform(low, high) for _ in range(size)], dtype=torch.float64)


def _bits(draw: random.Random, size: int) -> Tensor:
    return torch.tensor([draw.random() < 0.5 for _ in range(size)])


def _policy(draw: random.Random, prompts: int, answers: int) -> Tensor:
    return torch.stack([_floats(draw, answers, -2, 2) for _ in range(prompts)]).log_softmax(-1)


def implicit_reward(draw: random.Random) -> tuple:
    """Two policies over the same answers, and beta."""
    answers = draw.randint(2, 6)
    return _policy(draw, 2, answers), _policy(draw, 2, answers), draw.uniform(0.05, 5)


def pair_columns(draw: random.Random) -> tuple:
    """Four columns of log-probabilities, and beta."""
    size = draw.randint(2, 6)
    return *(_floats(draw, size, -40, -0.1) for _ in range(4)), draw.uniform(0.05, 3)


def flagged_pair_columns(draw: random.Random) -> tuple:
    """Four columns of log-probabilities, both safety bits in every combination, beta and delta."""
    columns = tuple(_floats(draw, 8, -40, -0.1) for _ in range(4))
    return *columns, _bits(draw, 8), _bits(draw, 8), draw.uniform(0.05, 3), draw.uniform(0, 30)


def safe_policy(draw: random.Random) -> tuple:
    """A reference, rewards, and bits that leave every prompt a safe answer."""
    prompts, answers = draw.randint(1, 3), draw.randint(3, 6)
    unsafe = torch.stack([_bits(draw, answers) for _ in range(prompts)])
    unsafe[:, draw.randrange(answers)] = False
    reward = torch.stack([_floats(draw, answers, -2, 2) for _ in range(prompts)])
    return _policy(draw, prompts, answers), reward, unsafe, draw.uniform(0.2, 3)


def order_pairs(draw: random.Random) -> tuple:
    """Labels of pairs in every group."""
    size = draw.randint(8, 16)
    return _bits(draw, size).long(), torch.stack([_bits(draw, size), _bits(draw, size)], 1)


def gradient_weight(draw: random.Random) -> tuple:
    """Reward margins, both bits, delta."""
    return _floats(draw, 6, -6, 6), _bits(draw, 6), _bits(draw, 6), draw.uniform(0, 5)


def shift_reference(draw: random.Random) -> tuple:
    """Reference log-probabilities, bits, beta and delta."""
    return _floats(draw, 5, -60, -1), _bits(draw, 5), draw.uniform(0.05, 3), draw.uniform(0, 30)


def sacpo_steps(draw: random.Random) -> tuple:
    """A reference, rewards and costs of one prompt, beta and lambda."""
    answers = draw.randint(3, 6)
    tables = (_policy(draw, 1, answers), _floats(draw, answers, -1, 2)[None], _floats(draw, answers, -2, 2)[None])
    return *tables, draw.uniform(0.3, 2), draw.uniform(0.1, 3)


def kl_to_optimum(draw: random.Random) -> tuple:
    """An optimum that never gives some answers, and a policy."""
    best = _policy(draw, 2, 6)
    best[:, draw.randrange(6)] = -torch.inf
    return best.log_softmax(-1), _policy(draw, 2, 6)


def prompt_prices(draw: random.Random) -> tuple:
    """A reference, rewards and signed costs of a few prompts, beta, and a limit that can be met."""
    prompts, answers = draw.randint(1, 4), draw.randint(2, 5)
    reward, cost = (torch.stack([_floats(draw, answers, -1, 2) for _ in range(prompts)]) for _ in range(2))
    cost[:, 0] = -1.5  # one answer is well below every limit
    return _policy(draw, prompts, answers), reward, cost, draw.uniform(0.2, 1), draw.uniform(-0.5, 0.5)


def scaled_policy(draw: random.Random) -> tuple:
    """A reference, a trained policy that never gives some answer, a strength."""
    trained = _policy(draw, 1, 5)[0]
    trained[draw.randrange(5)] = -torch.inf
    return _policy(draw, 1, 5)[0], trained.log_softmax(-1), draw.choice((0.0, 0.5, 1.0, 2.5))


def step_loss(draw: random.Random) -> tuple:
    """The mean losses of a few micro-batches, and their sizes."""
    count = draw.randint(1, 5)
    return _floats(draw, count, 0, 9), tuple(draw.randint(1, 8) for _ in range(count))


def needed_penalty(draw: random.Random) -> tuple:
    """Both log-partitions, beta, and a total variation."""
    return draw.uniform(-3, 3), draw.uniform(-3, 3), draw.uniform(0.05, 3), 10 ** draw.uniform(-4, -1)


def t_under_noise(draw: random.Random) -> tuple:
    """A flip rate and the chance that the safe answer is the better one."""
    return draw.uniform(0.01, 0.45), draw.uniform(0.05, 0.95)


def dual_update(draw: random.Random) -> tuple:
    """A price, an estimated cost, a limit, a step size."""
    return draw.uniform(0, 2), draw.uniform(-1, 1), draw.uniform(-0.5, 0.5), draw.uniform(0.1, 1)


def step_zero_loss(draw: random.Random) -> tuple:
    """Counts of pairs with and without a margin, and delta."""
    return draw.randint(1, 300), draw.randint(1, 300), draw.uniform(0, 20)


def lora_parameters(draw: random.Random) -> tuple:
    """Layers and a rank."""
    return tuple((draw.randint(2, 40), draw.randint(2, 40)) for _ in range(draw.randint(1, 4))), draw.randint(1, 8)


def samples_needed(draw: random.Random) -> tuple:
    """The range of the costs, the room below the limit, and a risk."""
    return draw.uniform(-2, 0), draw.uniform(1, 3), draw.uniform(0.1, 0.5), draw.uniform(0.01, 0.2)


def error_over_prompts(draw: random.Random) -> tuple:
    """Scores of three responses to each of some prompts."""
    return (torch.stack([_floats(draw, 3, 0, 1) for _ in range(draw.randint(4, 12))]),)


def harm_bound(draw: random.Random) -> tuple:
    """Harmful responses, responses, a risk: few or many of them, now and then none or all."""
    n = draw.choice((draw.randint(1, 12), draw.randint(13, 90)))
    return draw.choice((0, n, draw.randint(0, n), draw.randint(0, n // 10))), n, draw.choice((0.5, 0.1, 0.05, 0.003))


def cohen_kappa(draw: random.Random) -> tuple:
    """Counts of two judges over two to four labels, all of which both of them use."""
    labels = draw.randint(2, 4)
    return (torch.tensor([[draw.randint(1, 60) for _ in range(labels)] for _ in range(labels)]),)
