"""Sample responses in batches: one pass over each prompt, then all its responses token by token.

Every response has its own row of random numbers, drawn before anything else from the seed. So a response does not
depend on the batch it was sampled in (beyond the rounding of the arithmetic), and a policy and its reference sampled
with one seed share their random numbers, which makes their difference less noisy.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from tqdm.auto import tqdm
from transformers import DynamicCache, PreTrainedModel, PreTrainedTokenizerBase

from safedpo.errors import UserError, brief
from safedpo.files import is_number
from safedpo.lm.rows.fused import fused
from safedpo.lm.rows.tokens import prompt_token_ids, turn_end

BLOCK = 256  # columns of the vocabulary that are searched at once
COLDEST = 1e-6  # below it logits / temperature overflow


@dataclass(frozen=True)
class Responses:
    """What a model said to one prompt: the greedy response (None if not asked for) and the sampled ones."""

    prompt: str
    greedy: str | None
    sampled: tuple[str, ...]


@dataclass(frozen=True)
class Decoding:
    """How responses are drawn: the paper's temperature 1 and no truncation of the distribution (top-p 1)."""

    samples: int = 1
    greedy: bool = True
    temperature: float = 1.0
    max_new_tokens: int = 64
    seed: int = 0

    def __post_init__(self):
        for name, (least, most) in {
            "samples": (0, 10_000),
            "max_new_tokens": (1, 100_000),
            "seed": (0, 2**32 - 1),
        }.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
                found = brief(repr(value), 60)
                raise UserError(f"{name} is {found}; it must be a whole number from {least} to {most}")
        if self.samples + bool(self.greedy) < 1:
            raise UserError(f"samples is {self.samples}; at least one response a prompt is needed")
        if not (is_number(self.temperature) and self.temperature >= COLDEST):
            found = brief(repr(self.temperature), 60)
            raise UserError(f"temperature is {found}; it must be above 0 (for the greedy response: greedy)")


def generate(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[str],
    decoding: Decoding = Decoding(),  # noqa: B008
    *,
    template: str = "auto",
    batch_size: int | None = None,
    progress: bool = True,
    uniforms: torch.Tensor | None = None,
) -> list[Responses]:
    """Responses to each prompt, in the order of `prompts`; `batch_size` counts responses (default: `rows_at_once`), and prompts
    of like length share a batch. A response ends before its end-of-sequence token, or after `decoding.max_new_tokens`.

    `uniforms`: the random numbers to draw with in place of those of `decoding.seed`, (prompts, samples, max_new_tokens).
    """
    if batch_size is not None and batch_size < 1:
        raise UserError(f"batch_size is {batch_size}; at least 1 response must be sampled at once")
    ids = [list(prompt_token_ids(tokenizer, prompt, template)) for prompt in prompts]
    at_once = batch_size or rows_at_once(model, max(map(len, ids), default=0) + decoding.max_new_tokens)
    each = decoding.greedy + decoding.samples
    if uniforms is None:
        generator, shape = torch.Generator().manual_seed(decoding.seed), (len(prompts), decoding.samples)
        uniforms = torch.rand(*shape, decoding.max_new_tokens, generator=generator, dtype=torch.float64)
    by_length = sorted(range(len(prompts)), key=lambda i: len(ids[i]))
    step = max(1, at_once // each)
    texts: dict[int, list[str]] = {}
    was_training = model.training
    model.eval()
    try:
        bar = tqdm(total=len(prompts) * each, unit="response", disable=not progress)
        with torch.inference_mode(), fused(model), bar:
            for start in range(0, len(prompts), step):
                batch = by_length[start : start + step]
                tokens = _decode(model, tokenizer, [ids[i] for i in batch], uniforms[batch], decoding, template)
                for place, i in enumerate(batch):
                    rows = tokens[place * each : (place + 1) * each]
                    texts[i] = [tokenizer.decode(row, skip_special_tokens=True).strip() for row in rows]
                bar.update(len(batch) * each)
    finally:
        model.train(was_training)
    return [
        Responses(prompt, texts[i][0] if decoding.greedy else None, tuple(texts[i][decoding.greedy :]))
        for i, prompt in enumerate(prompts)
    ]


def rows_at_once(model: PreTrainedModel, tokens: int) -> int:
    """Responses of at most `tokens` tokens, prompt included, that are sampled at once: 64; on a CPU 192 where their keys and values
    take 2 GB at most.

    Every step reads all weights once, whatever the number of responses: two cores sample SmolLM2-135M a third faster so.
    """
    config = model.config.get_text_config()
    shared = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    width = config.hidden_size * shared / config.num_attention_heads
    kept = 2 * config.num_hidden_layers * width * model.dtype.itemsize  # bytes a token
    return 192 if model.device.type == "cpu" and 192 * tokens * kept <= 2e9 else 64


def _decode(
    model, tokenizer, ids: list[list[int]], uniforms: torch.Tensor, decoding: Decoding, template: str
) -> list[list[int]]:
    """Token ids of each response, prompt by prompt (greedy first). `uniforms`: (prompts, samples, max_new_tokens)."""
    device, each = model.device, decoding.greedy + decoding.samples
    stops = stop_ids(model, tokenizer, template)
    width = max(map(len, ids))
    tokens = torch.tensor([[0] * (width - len(row)) + row for row in ids], device=device)  # padded on the left
    mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in ids], device=device)
    place = (mask.cumsum(1) - 1).clamp(min=0)
    cache = DynamicCache(config=model.config)
    # The place as a tensor, not as a number: a number slices the hidden states, and on a CPU PyTorch multiplies a slice of a
    # batch with a frozen head in bfloat16 by copying the head once for each row, 3.6 GB for 64 prompts to SmolLM2-135M.
    last = torch.tensor([width - 1], device=device)
    out = model(input_ids=tokens, attention_mask=mask, position_ids=place, past_key_values=cache, logits_to_keep=last)
    cache.batch_repeat_interleave(each)
    logits, mask, place = (x.repeat_interleave(each, 0) for x in (out.logits[:, -1], mask, place[:, -1:]))
    # A greedy row takes the most probable token; its uniforms is a mark that no random number in [0, 1) can be.
    marks = torch.full((len(ids), int(decoding.greedy), decoding.max_new_tokens), -1.0, dtype=torch.float64)
    wide = torch.device("cpu") if device.type == "mps" else device  # a Mac's GPU has no float64
    uniforms = torch.cat([marks, uniforms], 1).flatten(0, 1).to(wide)
    said: list[list[int]] = [[] for _ in range(len(uniforms))]
    alive = torch.arange(len(uniforms), device=device)  # the response that each row of the batch belongs to
    ended = torch.zeros(len(uniforms), dtype=torch.bool, device=device)
    for step in range(decoding.max_new_tokens):
        new = draw(logits.to(wide), uniforms[alive.to(wide), step], decoding.temperature).to(device)
        ended |= torch.isin(new, stops)
        for row, token, end in zip(alive.tolist(), new.tolist(), ended.tolist(), strict=True):
            if not end:
                said[row].append(token)
        if ended.all() or step + 1 == decoding.max_new_tokens:
            break
        if ended.float().mean() >= 0.25:  # drop finished rows, but not so often that copying costs more than it saves
            kept = (~ended).nonzero().flatten()
            cache.batch_select_indices(kept)
            alive, ended, new, mask, place = (x[kept] for x in (alive, ended, new, mask, place))
        mask = torch.cat([mask, mask.new_ones(len(mask), 1)], 1)
        place = place + 1
        out = model(input_ids=new[:, None], attention_mask=mask, position_ids=place, past_key_values=cache)
        logits = out.logits[:, -1]
    return said


def draw(logits: torch.Tensor, uniforms: torch.Tensor, temperature: float = 1.0) -> torch.Tensor:
    """One token a row from softmax(logits / temperature): the first whose cumulative probability exceeds the row's
    number in [0, 1); where that number is negative, the most probable token. (B, V), (B,) -> (B,).

    >>> draw(torch.tensor([[0.25, 0.5, 0.25]] * 4).log(), torch.tensor([0.2, 0.3, 0.8, -1.0]).double())
    tensor([0, 1, 2, 1])
    """
    if logits.ndim != 2 or uniforms.shape != logits.shape[:1]:
        raise UserError(
            f"logits have shape {tuple(logits.shape)}, uniforms {tuple(uniforms.shape)}; give (B, V) and (B,)"
        )
    scaled = logits.float() if temperature == 1 else logits.float() / temperature
    picked = _first_above(torch.softmax(scaled, -1), uniforms)
    greedy = uniforms < 0
    picked[greedy] = logits[greedy].argmax(-1)
    return picked


def _first_above(probabilities: torch.Tensor, uniforms: torch.Tensor) -> torch.Tensor:
    """The first column of each row (B, V) at which the cumulative sum exceeds the row's number times the whole sum.

    Found by blocks first, because a cumulative sum over a vocabulary in float64 costs as much as a quarter of a small model.
    """
    rows, width = probabilities.shape
    blocks = torch.nn.functional.pad(probabilities, (0, -width % BLOCK)).view(rows, -1, BLOCK)
    upto = blocks.sum(-1, dtype=torch.float64).cumsum(-1)  # (B, blocks)
    target = (uniforms.clamp(min=0) * upto[:, -1])[:, None]
    block = torch.searchsorted(upto, target, right=True).clamp(max=upto.shape[-1] - 1)
    inside = blocks.gather(1, block[:, :, None].expand(-1, -1, BLOCK)).squeeze(1)  # (B, BLOCK)
    before = torch.where(block > 0, upto.gather(1, (block - 1).clamp(min=0)), 0.0)
    place = torch.searchsorted(inside.double().cumsum(-1) + before, target, right=True)
    # Both sums round: where the second ends just below the target, the last column of the block that is not 0 is the one.
    last = BLOCK - 1 - (inside > 0).flip(-1).int().argmax(-1, keepdim=True)
    place = torch.where(place < BLOCK, place, last)
    return (block * BLOCK + place).squeeze(1).clamp(max=width - 1)  # of NaN logits too


def stop_ids(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, template: str = "auto") -> torch.Tensor:
    """The tokens that end a response: the template's end of turn, the tokenizer's end of sequence, and those of the
    model's generation config."""
    own = model.generation_config.eos_token_id
    ids = {turn_end(tokenizer, template), tokenizer.eos_token_id, *(own if isinstance(own, list) else [own])} - {None}
    return torch.tensor(sorted(ids), device=model.device)
