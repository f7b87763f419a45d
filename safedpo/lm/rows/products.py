"""The product with a weight that is not trained: most of the arithmetic of a training step."""

import torch
from torch import Tensor

# PyTorch gives float32 products on a CPU to MKL, which runs at half speed on processors that are not Intel's. Its other
# library, oneDNN, does not; this is the operator through which torch.compile calls it.
_ONEDNN = getattr(torch.ops.mkldnn, "_linear_pointwise", None) if torch.backends.mkldnn.is_available() else None


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x W' + b from x (T, in) and weight (out, in), for use inside autograd functions: it records no gradient itself.

    >>> x, w = torch.randn(3, 4), torch.randn(5, 4)
    >>> torch.allclose(linear(x, w), x @ w.T, atol=1e-5)
    True
    """
    if _ONEDNN and x.device.type == "cpu" and x.dtype == torch.float32:
        return _ONEDNN(x, weight, bias, "none", [], "")
    return torch.nn.functional.linear(x, weight, bias)
