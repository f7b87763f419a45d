import pytest
import torch

from safedpo.lm.rows.products import linear


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("turned", [True, False])
@pytest.mark.parametrize("tokens", [1, 7, 130])
def test_it_is_the_sum_over_inputs_of_weight_times_input(dtype, bias, turned, tokens):
    generator = torch.Generator().manual_seed(tokens)
    x, w, b = (torch.randn(*shape, generator=generator).to(dtype) for shape in ((tokens, 48), (20, 48), (20,)))
    if turned:  # the backward pass gives weights as views of their transpose
        w = w.T.contiguous().T
    wanted = (x.double()[:, None] * w.double()[None]).sum(-1) + bias * b.double()
    found = linear(x, w, b if bias else None)
    assert found.dtype == dtype and found.shape == (tokens, 20) and found.is_contiguous()
    torch.testing.assert_close(
        found.double(),
        wanted,
        rtol=0.02 if dtype == torch.bfloat16 else 1e-5,
        atol=1e-5 if dtype != torch.bfloat16 else 0.1,
    )
