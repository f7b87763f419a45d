"""Which number format a model runs in: decided once per device, and always with the reason."""

import functools
import time

import torch

from safedpo.errors import UserError

# float16 is left out on purpose: summed log-probabilities and gradients overflow in it without a loss scaler.
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
WORTH_IT = 2.0  # bfloat16 must be this many times as fast as float32 on a CPU to be worth its rounding


def choose_device(device: str = "auto") -> str:
    """The device's name: as asked, or `cuda` where there is one, else `cpu`.

    >>> choose_device("cpu")
    'cpu'
    """
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise UserError(
            f"device {device!r} was asked for, and this PyTorch ({torch.__version__}) sees no CUDA device; "
            "leave the device out, or see `safedpo doctor`"
        )
    return device


@functools.cache
def choose_dtype(device: str) -> tuple[torch.dtype, str]:
    """The dtype for `device` and the reason, in words.

    On CUDA the compute capability decides (8.0 or more has bfloat16 arithmetic): `torch.cuda.is_bf16_supported()`
    also says yes for a T4, where bfloat16 is emulated. On a CPU a 50 ms measurement decides: float32, unless a bfloat16
    matrix product is at least twice as fast. Elsewhere float32. The answer is kept for the life of the process.

    >>> choose_dtype("meta")
    (torch.float32, 'float32: the safe choice on meta')
    """
    kind = torch.device(device).type
    if kind == "cuda":
        major, minor = torch.cuda.get_device_capability(device)
        if major >= 8:
            return torch.bfloat16, f"bfloat16: compute capability {major}.{minor} has bfloat16 arithmetic"
        return torch.float32, f"float32: compute capability {major}.{minor} only emulates bfloat16 (8.0 is needed)"
    if kind == "cpu":
        ratio = _matmul_ratio()
        measured = f"a bfloat16 matrix product is {ratio:.1f} times as fast as a float32 one on this CPU"
        if ratio >= WORTH_IT:
            return torch.bfloat16, f"bfloat16: {measured}"
        return torch.float32, f"float32: {measured} (at least {WORTH_IT:g} is needed)"
    return torch.float32, f"float32: the safe choice on {kind}"


def _matmul_ratio(budget: float = 0.05) -> float:
    """How many times as fast a bfloat16 (512, 576) by (576, 1536) product is: SmolLM2's layer, a short batch.

    The two formats take turns within `budget` seconds and the best times count, so other work disturbs both alike.
    """
    best = {torch.float32: float("inf"), torch.bfloat16: float("inf")}
    factors = {dtype: (torch.ones(512, 576, dtype=dtype), torch.ones(576, 1536, dtype=dtype)) for dtype in best}
    for left, right in factors.values():
        left @ right  # the first call also sets up threads and kernels
    end = time.perf_counter() + budget
    while max(best.values()) == float("inf") or time.perf_counter() < end:
        for dtype, (left, right) in factors.items():
            start = time.perf_counter()
            left @ right
            best[dtype] = min(best[dtype], time.perf_counter() - start)
    return best[torch.float32] / best[torch.bfloat16]


def named_dtype(dtype: str | torch.dtype, device: str) -> tuple[torch.dtype, str]:
    """`dtype` as asked, or `choose_dtype` for `"auto"`; raises UserError for any other format.

    >>> named_dtype("float32", "cpu")
    (torch.float32, 'float32: as asked')
    """
    if dtype == "auto":
        return choose_dtype(device)
    name = str(dtype).removeprefix("torch.")
    if name not in DTYPES:
        raise UserError(f"dtype {name!r} cannot be used; choose auto, {' or '.join(DTYPES)}")
    return DTYPES[name], f"{name}: as asked"
