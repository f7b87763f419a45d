"""Log-probabilities of the reference: computed once, before any training, and kept on disk under their identity.

The identity is a hash of the weights' fingerprint, the dtype, and the token ids of every response (the template is in
them). A sweep over delta, beta or the seed shares one cache. It is written in parts, so an interrupted computation goes
on where it stopped, and several processes each compute their own parts. A half-trained policy can never become its own
reference: its LoRA layers are switched off, and the fingerprint is that of the base weights.
"""

import hashlib
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from tqdm.auto import tqdm

from safedpo.errors import UserError
from safedpo.files import whole_file, writing
from safedpo.lm.launch import from_first
from safedpo.lm.models.download import own_cache
from safedpo.lm.models.fingerprint import weights_fingerprint
from safedpo.lm.rows.logprobs import response_logps
from safedpo.lm.rows.packing import TokenBatch, n_tokens, pack_pairs, split_rows
from safedpo.lm.rows.tokens import TokenPair

PART = 128  # pairs in one file of the cache
ROW_TOKENS = {"cpu": 1024, "cuda": 8192}
ROUNDING = 0.01  # nats that a sum of log-softmax values may lie above 0


def reference_logps(
    model,
    pairs: Sequence[TokenPair],
    *,
    folder: Path | None = None,
    rank: int = 0,
    world: int = 1,
    wait=lambda: None,
    fingerprint: str | None = None,
    run: Callable[[TokenBatch], Tensor] | None = None,
) -> Tensor:
    """log pi_ref of the chosen and rejected response of each pair: (2, N) float32, on the CPU.

    `model` is the reference itself, or a policy with LoRA adapters, which are switched off meanwhile. `folder`
    (default: `$SAFEDPO_CACHE/reference`) holds one subfolder for each identity. With several processes each computes
    the parts `rank`, `rank + world`, ... and `wait` is called before all parts are read. A part whose bytes are not
    those that were written (sha256) is computed again. `run(row)` stands for `response_logps(model, row)` where the model
    is spread over the processes; then all of them run as many rows. Raises `UserError` if a value is not finite or above 0.

    >>> import tempfile
    >>> from safedpo.lm.models.tiny import tiny_model
    >>> pair = TokenPair((5, 6), (7, 1), (8, 1), False, True, "SU", 1)
    >>> with tempfile.TemporaryDirectory() as home:
    ...     found = reference_logps(tiny_model(), [pair], folder=Path(home))
    >>> plain = tiny_model()(torch.tensor([[5, 6, 7, 1]])).logits[0].log_softmax(-1)
    >>> found.shape, torch.allclose(found[0, 0], plain[1, 7] + plain[2, 1], atol=1e-5)
    (torch.Size([2, 1]), True)
    """
    fingerprint = fingerprint or weights_fingerprint(model)
    identity = reference_identity(fingerprint, str(model.dtype), pairs)
    home = (folder or own_cache() / "reference") / identity
    with writing(home):
        home.mkdir(parents=True, exist_ok=True)
    sizes = [len(pairs[start : start + PART]) for start in range(0, len(pairs), PART)]
    own, apart = (
        (rank, world) if run else (0, 1)
    )  # spread over processes, all go through the same laps, each with a part
    among = range(len(sizes)) if run else range(rank, len(sizes), world)

    def look() -> list[int]:
        return [k for k in among if _read(home / _name(k), identity, sizes[k]) is None]

    missing = from_first(look) if run else look()
    one = run or (lambda batch: response_logps(model, batch))
    with _adapters_off(model), _evaluating(model), torch.no_grad():
        total = sum(sizes[k] for k in missing[own::apart])
        with tqdm(total=total, desc="reference", unit="pair", disable=rank > 0 or not missing) as bar:
            for lap in (missing[k : k + apart] for k in range(0, len(missing), apart)):
                mine = [pairs[k * PART : (k + 1) * PART] for k in lap]
                rows = [_rows(part, model.device.type) for part in mine]
                if own < len(lap):
                    logps = _compute(one, mine[own], rows[own], model.device, bar)
                    _refuse_impossible(logps, mine[own])
                    _write(home / _name(lap[own]), logps, identity)
                done = len(rows[own]) if own < len(lap) else 0
                for _ in range(max(map(len, rows)) - done if run else 0):
                    one(pack_pairs(mine[0][:1]).to(model.device))
    wait()
    found = [_read(home / _name(k), identity, n) for k, n in enumerate(sizes)]
    parts = [part for part in found if part is not None]
    if len(parts) < len(sizes):
        raise UserError(f"the reference cache {home} changes while it is read; delete that folder and try again")
    logps = torch.cat(parts, 1)
    _refuse_impossible(logps, pairs)
    return logps


def reference_identity(fingerprint: str, dtype: str, pairs: Sequence[TokenPair]) -> str:
    """The name of a reference: changes with the weights, the dtype, and any token of any pair or their order.

    >>> pair = TokenPair((1,), (2, 0), (3, 0), False, True, "SU", 1)
    >>> swapped = TokenPair((1,), (3, 0), (2, 0), False, True, "SU", 1)
    >>> reference_identity("w", "float32", [pair]) == reference_identity("w", "float32", [swapped])
    False
    """
    digest = hashlib.sha256(f"{fingerprint} {dtype} {PART}".encode())
    for pair in pairs:
        digest.update(repr((pair.prompt_ids, pair.chosen_ids, pair.rejected_ids)).encode())
    return digest.hexdigest()[:24]


def _rows(pairs: Sequence[TokenPair], device: str) -> list[list[int]]:
    return split_rows([n_tokens(pair) for pair in pairs], ROW_TOKENS.get(device, 1024))


def _compute(one: Callable[[TokenBatch], Tensor], pairs: Sequence[TokenPair], rows, device, bar) -> Tensor:
    logps = torch.full((2, len(pairs)), -torch.inf)
    for row in rows:
        logps[:, row] = one(pack_pairs([pairs[i] for i in row]).to(device)).cpu().reshape(2, len(row))
        bar.update(len(row))
    return logps


def _name(k: int) -> str:
    return f"part-{k:05d}.safetensors"


def _refuse_impossible(logps: Tensor, pairs: Sequence[TokenPair]) -> None:
    """A log-probability is finite and at most 0 (but for rounding); raises `UserError` with the rows where it is not."""
    bad = (~(torch.isfinite(logps) & (logps <= ROUNDING))).any(0).nonzero().flatten().tolist()
    if bad:
        rows = ", ".join(str(pairs[i].id) for i in bad[:10])
        raise UserError(
            f"the reference gives no finite log-probability of at most 0 to {len(bad)} pairs (rows {rows}); its weights "
            "are damaged: load it afresh, or in float32"
        )


def _sha256(logps: Tensor) -> str:
    return hashlib.sha256(logps.contiguous().numpy().tobytes()).hexdigest()


def _write(path: Path, logps: Tensor, identity: str) -> None:
    with whole_file(path) as unfinished:
        metadata = {"identity": identity, "sha256": _sha256(logps)}
        save_file({"logps": logps.contiguous()}, unfinished, metadata=metadata)


def _read(path: Path, identity: str, size: int) -> Tensor | None:
    """The values of a part, or None where there is none or it is not what was written: then it is computed again."""
    if not path.exists():
        return None
    try:
        with safe_open(path, "pt") as file:
            found, logps = file.metadata() or {}, file.get_tensor("logps")
        whole = logps.shape == (2, size) and logps.dtype == torch.float32
        if whole and (found.get("identity"), found.get("sha256")) == (identity, _sha256(logps)):
            return logps
    except (OSError, SafetensorError, ValueError, TypeError, KeyError):
        pass
    print(f"the reference cache {path} is damaged or of an earlier version; that part is computed again", flush=True)
    return None


def _adapters_off(model):
    return model.disable_adapter() if hasattr(model, "disable_adapter") else nullcontext()


class _evaluating:
    """Dropout off inside the block; the model's mode comes back after it."""

    def __init__(self, model):
        self.model = model

    def __enter__(self):
        self.was_training = self.model.training
        self.model.eval()

    def __exit__(self, *_):
        self.model.train(self.was_training)
