"""Several adapters on one base: switch between them, blend them, scale one, and measure how wrong that is.

LoRA adds D_i = (alpha / r) B_i A_i to each linear layer's weight W. A `Blend` runs with W + sum_i w_i D_i: exact
arithmetic on the weights (what PEFT calls `cat`; its `linear` mixes the A's and the B's apart, which gives cross
terms). One w_i = 1 is that trained adapter, all w_i = 0 is the reference, to the last bit. Anything else is a policy that
nobody trained: logits are not linear in the weights, and where training ends is not linear in delta. So it is called a
blend wherever it is shown, and `error.py` measures how far it is from what it stands for.

A weight is PEFT's own `scaling` of a layer, so all that reads the model (scoring, generation, merging) sees the blend.
The layers get a forward of their own, because PEFT's passes over the input, in float32, for each adapter, used or not.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import torch
from peft import PeftModel
from peft.tuners.lora import Linear as LoraLinear
from peft.tuners.lora import LoraLayer
from torch import Tensor

from safedpo.errors import UserError
from safedpo.lm.rows.logprobs import response_logps
from safedpo.lm.rows.packing import n_tokens, pack_examples, split_rows
from safedpo.lm.rows.tokens import TokenExample
from safedpo.lm.training.reference import ROW_TOKENS


@dataclass(frozen=True)
class Setting:
    """Where a blend stands: its weights, a sentence for the reader, and whether it is a policy that was trained."""

    weights: dict[float, float]
    label: str
    trained: bool


class Blend:
    """Adapters on one base, one for each delta, all active; made by `load.load_adapters`, which sets the reference.

    `model`: the policy at the present weights, for scoring and generation; `deltas`: rising; `beta` and
    `template`: those of the runs (`template` is `auto` where the folders do not say). `model.unload()` takes the
    adapters off the base.
    """

    def __init__(self, model: PeftModel, names: Mapping[float, str], *, beta: float | None, template: str):
        self.model, self.deltas, self.beta, self.template = model, tuple(sorted(names)), beta, template
        self._names = names
        self._layers = [module for module in model.modules() if isinstance(module, LoraLayer)]
        for layer in self._layers:
            if isinstance(layer, LoraLinear) and isinstance(layer.base_layer, torch.nn.Linear):
                layer.forward = partial(_forward, layer)
        self._weights = dict.fromkeys(self.deltas, 1.0)
        self.set({})

    @property
    def weights(self) -> dict[float, float]:
        """The present weight of each delta's adapter."""
        return dict(self._weights)

    def set(self, weights: Mapping[float, float]) -> None:
        """Run with W + sum of weight * D_delta; deltas that are not named get 0, so `set({})` is the reference.

        Takes milliseconds: nothing is merged or moved. Raises UserError for an unknown delta or a weight that is not
        finite, and then changes nothing.
        """
        for delta, weight in weights.items():
            if delta not in self._names:
                known = ", ".join(f"{known:g}" for known in self.deltas)
                raise UserError(f"there is no adapter for delta {delta}; the deltas loaded are {known}")
            if not math.isfinite(weight):
                raise UserError(f"the weight of delta {delta:g} is {weight}; weights are finite numbers")
        for delta, before in self._weights.items():
            weight = float(weights.get(delta, 0.0))
            if weight != before:
                for layer in self._layers:
                    layer.set_scale(self._names[delta], weight)  # relative to alpha / r, not to the present scale
                self._weights[delta] = weight

    def at(self, delta: float) -> Setting:
        """The adapter trained with `delta`, or where there is none the blend of its two neighbours (`between`)."""
        if delta in self._names:
            return self._put({delta: 1.0}, f"the adapter trained with delta {delta:g}", trained=True)
        return self.between(delta)

    def between(self, delta: float) -> Setting:
        """The blend of the nearest adapters below and above `delta`, leaving out the one trained with it.

        The weights are linear in log(1 + delta): stops such as 0, 2, 5, 10, 20, 50 lie evenly there, because a margin's
        effect levels off. It is a choice, not a law; nothing makes the blend the policy trained with `delta`. Raises
        UserError where `delta` has no neighbour on one side.
        """
        below, above = [d for d in self.deltas if d < delta], [d for d in self.deltas if d > delta]
        if not below or not above:
            raise UserError(
                f"delta is {delta:g}; a blend needs an adapter on either side of it, and the deltas loaded are "
                + ", ".join(f"{known:g}" for known in self.deltas)
            )
        low, high = below[-1], above[0]
        share = (math.log1p(delta) - math.log1p(low)) / (math.log1p(high) - math.log1p(low))
        weights = {low: 1 - share, high: share}
        parts = " + ".join(f"{weight:.2f} of delta {stop:g}" for stop, weight in weights.items())
        return self._put(weights, f"a blend, not trained: {parts}", trained=False)

    def strength(self, x: float, delta: float) -> Setting:
        """The adapter of `delta` scaled by `x` >= 0: W + x D. Near what training with beta / x would give.

        Where logits are linear in D (a table of answers), pi_x is proportional to pi_ref^(1-x) pi_1^x. If pi_1 is the
        optimum pi_ref exp(r_c / beta) / Z (Eq. 9), that is pi_ref exp(x r_c / beta) / Z': exactly the optimum of
        beta / x. x = 0 is the reference, x > 1 is bolder than training was. In a network logits are not linear in D, and
        scaling each token's log-ratio would not scale that of a response: measure it (`strength_error`).
        """
        if not 0 <= x < math.inf:
            raise UserError(f"the strength is {x}; it must be a finite number of at least 0 (0: the reference)")
        if x in (0, 1):
            return self._put(
                {delta: x}, f"the adapter trained with delta {delta:g}" if x else "the reference", trained=True
            )
        beta = f"beta {self.beta / x:.3g}" if self.beta else f"beta / {x:g}"
        label = f"the adapter of delta {delta:g} at strength {x:g}, about its policy at {beta}; not trained"
        return self._put({delta: x}, label, trained=False)

    def logps(self, examples: Sequence[TokenExample]) -> Tensor:
        """log pi(y | x) of each response at the present weights, (N,) float32 nats; responses to one prompt share it."""
        by_prompt: dict[tuple[int, ...], list[int]] = {}
        for i, example in enumerate(examples):
            by_prompt.setdefault(example.prompt_ids, []).append(i)
        groups = list(by_prompt.values())
        lengths = [n_tokens(tuple(examples[i] for i in group)) for group in groups]
        found, device = torch.empty(len(examples)), self.model.device
        with torch.no_grad():
            for row in split_rows(lengths, ROW_TOKENS.get(device.type, 1024)):
                indices = [i for k in row for i in groups[k]]
                batch = pack_examples([examples[i] for i in indices])
                found[indices] = response_logps(self.model, batch.to(device)).cpu()
        return found

    @contextmanager
    def kept(self) -> Iterator[None]:
        """The present weights come back at the end of the block."""
        before = self.weights
        try:
            yield
        finally:
            self.set(before)

    def _put(self, weights: dict[float, float], label: str, *, trained: bool) -> Setting:
        self.set(weights)
        return Setting(self.weights, label, trained)


def _forward(layer: LoraLinear, x: Tensor, *args, **kwargs) -> Tensor:
    """W x + sum_i w_i D_i x; an adapter of weight 0 costs nothing and changes no bit."""
    if layer.disable_adapters or layer.merged or args or kwargs:
        return type(layer).forward(layer, x, *args, **kwargs)
    y = layer.base_layer(x)
    for name in layer.active_adapters:
        if scale := layer.scaling[name]:
            inner = x.flatten(0, -2) @ layer.lora_A[name].weight.to(x.dtype).T  # (tokens, r)
            y.view(-1, y.shape[-1]).addmm_(inner, layer.lora_B[name].weight.to(x.dtype).T, alpha=scale)
    return y
