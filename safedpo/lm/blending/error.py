"""How wrong a blend is, measured on held-out responses: against an adapter really trained, and against a smaller beta.

Load the base in float32 for these: in bfloat16 the rounding of a response's log-probability is up to a nat, more than a
good blend's error.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from tqdm.auto import tqdm

from safedpo.errors import UserError
from safedpo.lm.blending.blend import Blend
from safedpo.lm.rows.tokens import TokenExample


@dataclass(frozen=True)
class Divergence:
    """KL between a trained policy and another, both ways, in nats, for each of N responses.

    At each token the KL is exact over the vocabulary, given the response up to there; a response's value is the sum over
    its `tokens`. Averaged over responses sampled from p, the sum of KL(p || q) estimates the KL of whole responses;
    over other responses (stored or greedy ones) it is the divergence along them.
    """

    forward: Tensor  # (N,) KL(trained || other)
    backward: Tensor  # (N,) KL(other || trained)
    tokens: Tensor  # (N,)

    @property
    def per_response(self) -> tuple[float, float]:
        """Mean over the responses: (forward, backward)."""
        return self.forward.mean().item(), self.backward.mean().item()

    @property
    def per_token(self) -> tuple[float, float]:
        """Mean over all tokens: (forward, backward)."""
        count = self.tokens.sum()
        return (self.forward.sum() / count).item(), (self.backward.sum() / count).item()


def blend_error(
    blend: Blend, delta: float, examples: Sequence[TokenExample], *, progress: bool = True
) -> dict[str, Divergence]:
    """How far `blend.between(delta)` is from the adapter really trained with `delta`, which `blend` must hold.

    The yardsticks are its two neighbours and the reference, measured the same way: a blend is worth showing where it is
    nearer than the nearer neighbour. Keys: `blend`, `delta LOW`, `delta HIGH`, `reference`. The blend's weights
    are as before afterwards.

    >>> import tempfile
    >>> from safedpo.lm.blending.load import load_adapters
    >>> from safedpo.lm.models.adapters import add_lora
    >>> from safedpo.lm.models.tiny import tiny_model
    >>> with tempfile.TemporaryDirectory() as home:
    ...     for delta in (0, 5, 10):  # adapters not trained yet: they change nothing
    ...         add_lora(tiny_model(), seed=delta).save_pretrained(f"{home}/{delta}")
    ...     blend = load_adapters(tiny_model(), {delta: f"{home}/{delta}" for delta in (0, 5, 10)})
    >>> found = blend_error(blend, 5, [TokenExample((1, 2), (3, 4), 1)], progress=False)
    >>> list(found), found["blend"].per_token
    (['blend', 'delta 0', 'delta 10', 'reference'], (0.0, 0.0))
    """
    if delta not in blend.deltas:
        raise UserError(f"no adapter trained with delta {delta:g} is loaded to compare with; load its folder too")
    if not examples:
        raise UserError("no responses to compare on were given; tokenize some held-out ones (tokenize_examples)")
    with blend.kept():
        between = blend.between(delta).weights
        others = {"blend": between}
        others |= {f"delta {stop:g}": {stop: 1.0} for stop, weight in between.items() if weight}
        others["reference"] = {}
        sums = {name: torch.empty(2, len(examples), dtype=torch.float64) for name in others}
        for i, example in enumerate(tqdm(examples, desc="blend error", unit="response", disable=not progress)):
            trained = _distributions(blend, {delta: 1.0}, example)
            for name, weights in others.items():
                sums[name][:, i] = _kl_both_ways(trained, _distributions(blend, weights, example))
    tokens = torch.tensor([len(example.response_ids) for example in examples])
    return {name: Divergence(both[0], both[1], tokens) for name, both in sums.items()}


@torch.no_grad()
def _distributions(blend: Blend, weights: dict[float, float], example: TokenExample) -> Tensor:
    """log pi of every token of the vocabulary at each token of the response, (T, V) float32."""
    blend.set(weights)
    ids = torch.tensor([example.prompt_ids + example.response_ids], device=blend.model.device)
    logits = blend.model(input_ids=ids, use_cache=False, logits_to_keep=len(example.response_ids) + 1).logits
    return logits[0, :-1].float().log_softmax(-1)


def _kl_both_ways(p: Tensor, q: Tensor) -> Tensor:
    """KL(p || q) and KL(q || p), summed over positions, (2,), from log-probabilities (T, V)."""
    gap = p - q
    return torch.stack([(p.exp() * gap).sum(-1), -(q.exp() * gap).sum(-1)]).cpu().double().sum(-1)


@dataclass(frozen=True)
class StrengthError:
    """What scaling an adapter by x does to log pi - log pi_ref of each of N responses, beside what it stands for.

    With exact scaling `found` = `promised` - log Z_x(prompt), where Z_x = sum_y pi_ref^(1-x) pi_1^x <= 1 for x
    between 0 and 1. So `difference` is not all error, `error` is: there the constant of each prompt is taken off.
    """

    x: float
    promised: Tensor  # (N,) x (log pi_1 - log pi_ref)
    found: Tensor  # (N,) log pi_x - log pi_ref
    prompts: Tensor  # (N,) int64: number of the prompt

    @property
    def difference(self) -> Tensor:
        """found - promised, (N,) nats."""
        return self.found - self.promised

    @property
    def error(self) -> Tensor:
        """The difference less its mean over the responses to the same prompt, (N,) nats; nan where there is only one."""
        counts = torch.bincount(self.prompts)
        means = torch.zeros(len(counts)).index_add(0, self.prompts, self.difference) / counts
        error = self.difference - means[self.prompts]
        return torch.where(counts[self.prompts] > 1, error, torch.nan)


def strength_error(blend: Blend, x: float, delta: float, examples: Sequence[TokenExample]) -> StrengthError:
    """How nearly the adapter of `delta` scaled by `x` is its policy at beta / x, on held-out responses.

    Needs two or more responses to a prompt for `StrengthError.error`. The blend's weights are as before afterwards.

    >>> import tempfile
    >>> from safedpo.lm.blending.load import load_adapters
    >>> from safedpo.lm.models.adapters import add_lora
    >>> from safedpo.lm.models.tiny import tiny_model
    >>> with tempfile.TemporaryDirectory() as home:
    ...     add_lora(tiny_model()).save_pretrained(home)
    ...     blend = load_adapters(tiny_model(), {5: home})
    >>> strength_error(blend, 2.0, 5, [TokenExample((1, 2), (3, 4), 1), TokenExample((1, 2), (5,), 1)]).error
    tensor([0., 0.])
    """
    if not examples:
        raise UserError("no responses to compare on were given; tokenize some held-out ones (tokenize_examples)")
    with blend.kept():
        logps = []
        for strength in (0.0, 1.0, x):
            blend.strength(strength, delta)
            logps.append(blend.logps(examples))
    reference, trained, scaled = logps
    number = {prompt: k for k, prompt in enumerate(dict.fromkeys(e.prompt_ids for e in examples))}
    prompts = torch.tensor([number[example.prompt_ids] for example in examples])
    return StrengthError(x, x * (trained - reference), scaled - reference, prompts)
