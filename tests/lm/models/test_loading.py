"""Weights are read from safetensors alone and whole, and whatever goes wrong is one sentence that names the model."""

import json

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from safedpo.errors import UserError
from safedpo.lm.models.loading import loading, quiet, read_model
from safedpo.lm.models.tiny import tiny_model


def test_a_folder_comes_back_in_the_dtype_asked_for(folder):
    model, tokenizer = read_model(folder, torch.bfloat16)
    assert model.dtype == torch.bfloat16 and tokenizer.eos_token == "</s>"
    expected = dict(tiny_model(seed=2).named_parameters())
    assert all(torch.equal(p, expected[name].bfloat16()) for name, p in model.named_parameters())


def change_weights(folder, change):
    file = folder / "model.safetensors"
    tensors = load_file(file)
    change(tensors)
    save_file(tensors, file, {"format": "pt"})


def test_a_weight_that_is_missing_is_named_and_never_drawn(folder):
    change_weights(folder, lambda tensors: tensors.pop("model.layers.1.mlp.up_proj.weight"))
    with pytest.raises(UserError, match=r"lack 1 weights of LlamaForCausalLM, such as model\.layers\.1\.mlp\.up_proj"):
        read_model(folder, torch.float32)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_a_weight_that_is_no_number_is_named(folder, value):
    change_weights(folder, lambda tensors: tensors["model.norm.weight"].fill_(value))
    with pytest.raises(UserError, match=r"model\.norm\.weight is not finite"):
        read_model(folder, torch.float32)


def test_a_pickle_beside_the_safetensors_is_not_opened(folder, tmp_path):
    marker = tmp_path / "opened"

    class Opens:
        def __reduce__(self):
            return (open, (str(marker), "w"))

    torch.save({"model.norm.weight": Opens()}, folder / "pytorch_model.bin")
    read_model(folder, torch.float32)
    assert not marker.exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="4-bit weights can be loaded here")
def test_four_bits_without_a_gpu_say_what_they_need(folder):
    with pytest.raises(UserError, match="4-bit weights need a CUDA device and the package bitsandbytes"):
        read_model(folder, torch.float32, four_bit=True)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError("no such file\nwith details"), "mine cannot be loaded: no such file"),
        (RecursionError(""), "mine cannot be loaded: RecursionError"),
        (ImportError("needs autoawq"), "need a package that is not installed: needs autoawq"),
        (ImportError(""), "not installed: ImportError"),
        (UserError("already one sentence"), "^already one sentence$"),
    ],
)
def test_every_error_is_one_sentence(error, words):
    with pytest.raises(UserError, match=words) as caught, loading("mine"):
        raise error
    assert "\n" not in str(caught.value)


def test_ctrl_c_is_no_error_of_the_model():
    with pytest.raises(KeyboardInterrupt), loading("mine"):
        raise KeyboardInterrupt


@pytest.mark.parametrize("shown", [True, False])
def test_quiet_puts_back_what_was_set(shown):
    logging = transformers.utils.logging
    before = logging.is_progress_bar_enabled()
    (logging.enable_progress_bar if shown else logging.disable_progress_bar)()
    try:
        with pytest.raises(ValueError), quiet():
            assert not logging.is_progress_bar_enabled()
            raise ValueError
        assert logging.is_progress_bar_enabled() == shown
    finally:
        (logging.enable_progress_bar if before else logging.disable_progress_bar)()


def test_a_configuration_that_is_no_json_names_its_file(folder):
    (folder / "config.json").write_text(json.dumps([1, 2]))
    with pytest.raises(UserError, match="config.json is damaged"):
        read_model(folder, torch.float32)
