"""Our reading of a GGUF file against the package `gguf`: the same numbers to the last bit, and damage is named."""

import numpy as np
import pytest

from safedpo.errors import UserError
from safedpo.lm.models.gguf import F32, Q4_1, Q8_0, llama_tensors, read_gguf, unpack
from safedpo.lm.models.presets import _llama, _tokenizer

gguf = pytest.importorskip("gguf")


@pytest.mark.parametrize("kind, name", [(Q4_1, "Q4_1"), (Q8_0, "Q8_0")])
def test_random_blocks_unpack_to_what_gguf_unpacks(kind, name):
    draw = np.random.default_rng(kind)
    numbers = draw.normal(size=(7, 96)).astype(np.float32) * 10.0 ** draw.integers(-4, 4, (7, 1))
    packed = gguf.quants.quantize(numbers.astype(np.float32), gguf.GGMLQuantizationType[name])
    theirs = gguf.quants.dequantize(packed, gguf.GGMLQuantizationType[name])
    ours = unpack(kind, packed.reshape(-1)).reshape(theirs.shape)
    assert ours.dtype == np.float32 and np.array_equal(ours, theirs)
    assert np.abs(ours - numbers).max() > 0  # it is a quantisation, not a copy


@pytest.fixture
def file(tmp_path):
    """A Llama of one layer in a file written by the package, with what its reader says of it."""
    path, draw = tmp_path / "tiny.gguf", np.random.default_rng(0)
    writer = gguf.GGUFWriter(path, "llama")
    for add, value in (
        (writer.add_vocab_size, 4),
        (writer.add_embedding_length, 64),
        (writer.add_feed_forward_length, 32),
        (writer.add_block_count, 1),
        (writer.add_head_count, 4),
        (writer.add_head_count_kv, 2),
        (writer.add_rope_dimension_count, 16),
        (writer.add_context_length, 128),
        (writer.add_layer_norm_rms_eps, 1e-5),
        (writer.add_rope_freq_base, 1e4),
        (writer.add_token_list, ["<|end|>", "a", "b", "ab"]),
        (writer.add_token_types, [3, 1, 1, 1]),
        (writer.add_token_merges, ["a b"]),
        (writer.add_bos_token_id, 0),
        (writer.add_eos_token_id, 0),
        (writer.add_unk_token_id, 0),
        (writer.add_pad_token_id, 0),
        (writer.add_chat_template, "{{ messages }}"),
    ):
        add(value)
    shapes = {"attn_q": (64, 64), "attn_k": (32, 64), "attn_v": (32, 64), "attn_output": (64, 64)}
    shapes |= {"ffn_gate": (32, 64), "ffn_up": (32, 64), "ffn_down": (64, 32)}
    for name, shape in shapes.items():
        kind = gguf.GGMLQuantizationType.Q4_1
        packed = gguf.quants.quantize(draw.normal(size=shape).astype(np.float32), kind)
        writer.add_tensor(f"blk.0.{name}.weight", packed, raw_dtype=kind)
    for name, length in {"blk.0.attn_norm": 64, "blk.0.ffn_norm": 64, "output_norm": 64}.items():
        writer.add_tensor(f"{name}.weight", draw.normal(size=length).astype(np.float32))
    kind = gguf.GGMLQuantizationType.Q8_0
    embedding = gguf.quants.quantize(draw.normal(size=(4, 64)).astype(np.float32), kind)
    writer.add_tensor("token_embd.weight", embedding, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_a_whole_file_is_read_as_its_package_reads_it(file):
    facts, tensors = read_gguf(file)
    reader = gguf.GGUFReader(file)
    assert set(tensors) == {tensor.name for tensor in reader.tensors}
    for tensor in reader.tensors:
        theirs = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        assert np.array_equal(tensors[tensor.name], theirs.reshape(tensors[tensor.name].shape)), tensor.name
    for name, field in reader.fields.items():
        if not name.startswith("GGUF."):
            assert facts[name] == field.contents(), name


def test_the_model_and_the_tokenizer_are_those_that_transformers_makes_of_it(file):
    """transformers converts the file with the package `gguf`: an implementation with nothing of ours in it."""
    import transformers

    options = {}
    if hasattr(transformers, "GgufConfig"):
        options = {"quantization_config": transformers.GgufConfig(dequantize=True)}
    theirs = transformers.AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, **options)
    facts, tensors = read_gguf(file)
    ours = _llama(facts, llama_tensors(facts, tensors))
    expected = dict(theirs.float().named_parameters())
    assert expected.keys() == dict(ours.named_parameters()).keys()
    for name, tensor in ours.named_parameters():
        assert tensor.equal(expected[name]), name
    assert ours.config.rope_parameters["rope_theta"] == 1e4 and ours.config.num_key_value_heads == 2
    tokenizer = _tokenizer(facts)
    assert tokenizer("abab1<|end|>")["input_ids"][:2] == [3, 3] and tokenizer.eos_token_id == 0
    assert tokenizer.decode([3, 1, 0], skip_special_tokens=True) == "aba"


@pytest.mark.parametrize("share", [0.0, 0.001, 0.1, 0.3, 0.6, 0.95])
def test_a_file_that_is_cut_off_is_named(file, share):
    whole = file.read_bytes()
    file.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(UserError, match="tiny.gguf.*fetch it again"):
        read_gguf(file)


def test_another_kind_of_file_and_another_format_are_refused(file):
    with pytest.raises(UserError, match="GGUF format 12; F32, Q4_1 and Q8_0 are read"):
        unpack(12, np.zeros(144, np.uint8))
    assert unpack(F32, np.array([1.5], np.float32).view(np.uint8)).tolist() == [1.5]
    file.write_bytes(b"<html>not found</html>" * 50)
    with pytest.raises(UserError, match="tiny.gguf: this is no GGUF file"):
        read_gguf(file)
