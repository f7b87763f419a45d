import pytest
import torch

from safedpo.lm.models.adapters import add_lora
from safedpo.lm.models.tiny import tiny_model
from safedpo.lm.rows.fused import fuse_lora, unfuse_lora
from safedpo.lm.rows.logprobs import response_logps
from safedpo.lm.rows.packing import pack

BATCH = pack([(5, 6, 7)], [(0, (8, 9, 1)), (0, (10, 1))])


def policy(dtype=torch.float32):
    model = add_lora(tiny_model(dtype=dtype), r=3)
    torch.manual_seed(0)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.2)
    return model


def value_and_gradients(model):
    model.zero_grad()
    logps = response_logps(model, BATCH)
    (logps * torch.tensor([1.0, -0.5])).sum().backward()
    return logps.detach(), {n: p.grad for n, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 0.1)])
def test_values_and_gradients_are_pefts(dtype, tolerance):
    own, fused = policy(dtype), policy(dtype)
    fuse_lora(fused)
    (a, grad_a), (b, grad_b) = value_and_gradients(own), value_and_gradients(fused)
    torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)
    assert grad_a.keys() == grad_b.keys() and all("lora_" in name for name in grad_b)
    for name, gradient in grad_a.items():
        assert grad_b[name].dtype == gradient.dtype == torch.float32
        assert (grad_b[name] - gradient).norm() <= tolerance * (gradient.norm() + 1e-3), name


def test_the_fused_gradient_is_right_by_finite_differences():
    from safedpo.lm.rows.fused import _FusedLora

    torch.manual_seed(0)
    x, w, bias = torch.randn(6, 4), torch.randn(5, 4), torch.randn(5)
    a, b = torch.randn(2, 4), torch.randn(5, 2)
    inputs = [t.double().requires_grad_(t is not w and t is not bias) for t in (x, w, bias, a, b)]
    assert torch.autograd.gradcheck(lambda *t: _FusedLora.apply(*t, 0.7), inputs)


def test_switched_off_or_several_adapters_keep_pefts_own_forward():
    model = policy()
    plain, on = response_logps(tiny_model(), BATCH), response_logps(model, BATCH)
    fuse_lora(model)
    with model.disable_adapter():
        torch.testing.assert_close(response_logps(model, BATCH), plain)
    model.add_adapter("second", model.peft_config["default"])
    model.base_model.set_adapter(["default", "second"])  # the second has B = 0: it changes nothing
    torch.testing.assert_close(response_logps(model, BATCH), on, rtol=1e-5, atol=1e-4)
    unfuse_lora(model)
    assert not any("forward" in module.__dict__ for module in model.modules())
