"""The settings that make each model type of transformers tiny, and what refuses those that cannot be exact."""

VOCABULARY = 258
BASE = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 256,
    "initializer_range": 0.2,
    "pad_token_id": 1,
    "bos_token_id": 0,
    "eos_token_id": 1,
}
GPT = {"n_embd": 32, "n_layer": 3, "n_head": 4, "n_inner": 48, "n_positions": 256, "rotary_dim": 4}
MOE = {
    "num_experts": 4,
    "num_local_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 16,
    "n_routed_experts": 4,
}
LATENT = {
    "q_lora_rank": 12,
    "kv_lora_rank": 8,
    "qk_nope_head_dim": 8,
    "qk_rope_head_dim": 4,
    "v_head_dim": 6,
    "n_group": 1,
    "topk_group": 1,
    "first_k_dense_replace": 1,
}
LATENT |= MOE | {"n_shared_experts": 1, "num_key_value_heads": 4}
OPT = {
    "ffn_dim": 48,
    "word_embed_proj_dim": 32,
    "dropout": 0.0,
    "d_model": 32,
    "decoder_layers": 3,
    "attention_heads": 4,
    "decoder_attention_heads": 4,
    "num_layers": 3,
}
MAMBA = {
    "mamba_n_heads": 4,
    "mamba_d_head": 16,
    "mamba_d_state": 8,
    "mamba_n_groups": 1,
    "mamba_expand": 2,
    "mamba_chunk_size": 8,
    "state_size": 8,
}
DYNAMIC = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10000.0}


def _alternating(window_name="sliding_attention", n=3):
    return [window_name if i % 2 == 0 else "full_attention" for i in range(n)]


# name -> (model type, settings); {window} settings are added by `WINDOWED`
PLAIN = {
    "llama": ("llama", {}),
    "llama-tied-bias": ("llama", {"tie_word_embeddings": True, "attention_bias": True, "mlp_bias": True}),
    "llama3-rope": (
        "llama",
        {
            "rope_parameters": {
                "rope_type": "llama3",
                "rope_theta": 10000.0,
                "factor": 4.0,
                "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
                "original_max_position_embeddings": 16,
            }
        },
    ),
    "qwen2": ("qwen2", {}),
    "qwen2-yarn": (
        "qwen2",
        {
            "rope_parameters": {
                "rope_type": "yarn",
                "factor": 4.0,
                "rope_theta": 10000.0,
                "original_max_position_embeddings": 16,
            }
        },
    ),
    "qwen3": ("qwen3", {}),
    "gemma": ("gemma", {}),
    "phi": ("phi", {}),
    "olmo": ("olmo", {}),
    "olmo2": ("olmo2", {}),
    "gpt_neox": ("gpt_neox", {}),
    "gpt2": ("gpt2", GPT),
    "opt": ("opt", OPT),
    "gptj": ("gptj", GPT),
    "codegen": ("codegen", GPT),
    "gpt_bigcode": ("gpt_bigcode", GPT),
    "granite": ("granite", {"logits_scaling": 4.0, "embedding_multiplier": 3.0}),
    "cohere": ("cohere", {"logit_scale": 0.25}),
    "glm": ("glm", {}),
    "glm4": ("glm4", {}),
    "stablelm": ("stablelm", {}),
    "nemotron": ("nemotron", {}),
    "biogpt": ("biogpt", {}),
    "xglm": ("xglm", OPT),
    "helium": ("helium", {}),
    "arcee": ("arcee", {}),
    "hunyuan": ("hunyuan_v1_dense", {}),
    "apertus": ("apertus", {}),
    "diffllama": ("diffllama", {}),
    "ernie4_5": ("ernie4_5", {}),
    "seed_oss": ("seed_oss", {"residual_dropout": 0.1, "attention_dropout": 0.1}),
    "bitnet": ("bitnet", {}),
    "persimmon": ("persimmon", {}),
    "nanochat": ("nanochat", {}),
    "jais2": ("jais2", {}),
    "falcon-rotary": ("falcon", {"head_dim": ..., "num_kv_heads": 2, "new_decoder_architecture": True}),
    "falcon-multi-query": (
        "falcon",
        {"head_dim": ..., "multi_query": True, "new_decoder_architecture": False, "parallel_attn": True},
    ),
    "mixtral": ("mixtral", MOE),
    "qwen2_moe": ("qwen2_moe", MOE | {"shared_expert_intermediate_size": 16}),
    "qwen3_moe": ("qwen3_moe", MOE),
    "olmoe": ("olmoe", MOE),
    "glm4_moe": ("glm4_moe", MOE | {"n_group": 1, "topk_group": 1, "first_k_dense_replace": 1}),
    "granitemoe": ("granitemoe", MOE),
    "dots1": ("dots1", MOE | {"n_shared_experts": 1, "n_group": 1, "topk_group": 1, "first_k_dense_replace": 1}),
    "ernie4_5_moe": (
        "ernie4_5_moe",
        MOE | {"moe_num_experts": 4, "moe_k": 2, "moe_layer_start_index": 1, "moe_layer_end_index": 2},
    ),
    "deepseek_v2": ("deepseek_v2", LATENT),
    "deepseek_v3": ("deepseek_v3", LATENT | {"head_dim": 4}),
    "minicpm3": ("minicpm3", LATENT),
    "glm4_moe_lite": ("glm4_moe_lite", LATENT),
    "minimax_m2": ("minimax_m2", MOE),
    "phimoe": ("phimoe", MOE),
    "dbrx": (
        "dbrx",
        {
            "d_model": 32,
            "n_heads": 4,
            "n_layers": 3,
            "max_seq_len": 256,
            "ffn_config": {"ffn_hidden_size": 16, "moe_num_experts": 4, "moe_top_k": 2},
            "attn_config": {"kv_n_heads": 2, "rope_theta": 10000.0, "clip_qkv": 8.0},
        },
    ),
    "flex_olmo": ("flex_olmo", MOE),
    # with state, position biases, buffers or formulas of their own: to be exact all the same, or refused
    "qwen3_next": (
        "qwen3_next",
        MOE
        | {
            "linear_num_key_heads": 2,
            "linear_num_value_heads": 4,
            "linear_key_head_dim": 8,
            "linear_value_head_dim": 8,
            "shared_expert_intermediate_size": 16,
            "num_hidden_layers": 4,
        },
    ),
    "qwen3_5": (
        "qwen3_5_text",
        {
            "linear_num_key_heads": 2,
            "linear_num_value_heads": 4,
            "linear_key_head_dim": 8,
            "linear_value_head_dim": 8,
            "num_hidden_layers": 4,
        },
    ),
    "lfm2": ("lfm2", {"layer_types": ["conv", "full_attention", "conv"]}),
    "lfm2_moe": ("lfm2_moe", MOE | {"layer_types": ["conv", "full_attention", "conv"], "num_dense_layers": 1}),
    "granitemoehybrid": (
        "granitemoehybrid",
        MOE | MAMBA | {"layer_types": ["mamba", "attention", "mamba"], "shared_intermediate_size": 48},
    ),
    "bamba": ("bamba", MAMBA | {"attn_layer_indices": [1]}),
    "jamba": (
        "jamba",
        MOE
        | {
            "mamba_d_state": 8,
            "use_mamba_kernels": False,
            "attn_layer_period": 2,
            "attn_layer_offset": 1,
            "mamba_dt_rank": 4,
        },
    ),
    "zamba2": (
        "zamba2",
        MAMBA
        | {
            "n_mamba_heads": 4,
            "mamba_headdim": 16,
            "head_dim": ...,
            "mamba_ngroups": 1,
            "layers_block_type": ["mamba", "hybrid", "mamba"],
            "hybrid_layer_ids": [1],
        },
    ),
    "minimax": (
        "minimax",
        MOE | {"block_size": 8, "layer_types": ["linear_attention", "full_attention", "linear_attention"]},
    ),
    "olmo_hybrid": (
        "olmo_hybrid",
        {
            "linear_num_key_heads": 4,
            "linear_num_value_heads": 4,
            "linear_key_head_dim": 8,
            "linear_value_head_dim": 8,
            "num_hidden_layers": 4,
        },
    ),
    "recurrent_gemma": (
        "recurrent_gemma",
        {
            "lru_width": 32,
            "attention_window_size": 8,
            "block_types": ["recurrent", "recurrent", "attention"],
            "attention_window": 8,
        },
    ),
    "mamba": ("mamba", {"state_size": 8}),
    "mamba2": ("mamba2", {"state_size": 8, "num_heads": 8, "head_dim": 8, "n_groups": 1, "chunk_size": 8}),
    "falcon_mamba": ("falcon_mamba", {"state_size": 8}),
    "falcon_h1": ("falcon_h1", MAMBA | {"mamba_d_ssm": 64}),
    "nemotron_h": (
        "nemotron_h",
        {
            "mamba_num_heads": 4,
            "mamba_head_dim": 16,
            "ssm_state_size": 8,
            "n_groups": 1,
            "chunk_size": 8,
            "layers_block_type": ["mamba", "attention", "mlp"],
        },
    ),
    "rwkv": ("rwkv", {"attention_hidden_size": 32, "context_length": 256}),
    "bloom": ("bloom", {"n_head": 4, "n_layer": 3}),
    "mpt": ("mpt", {"d_model": 32, "n_heads": 4, "n_layers": 3, "max_seq_len": 256, "expansion_ratio": 2}),
    "falcon-alibi": ("falcon", {"head_dim": ..., "alibi": True, "new_decoder_architecture": False}),
    "gpt_neo": (
        "gpt_neo",
        {
            "num_layers": 4,
            "num_hidden_layers": ...,
            "num_heads": 4,
            "window_size": 8,
            "attention_types": [[["global", "local"], 2]],
        },
    ),
    "llama-dynamic-rope": ("llama", {"rope_parameters": DYNAMIC, "max_position_embeddings": 16}),
    "phi3-longrope": (
        "phi3",
        {
            "sliding_window": None,
            "original_max_position_embeddings": 16,
            "rope_parameters": {
                "rope_type": "longrope",
                "rope_theta": 10000.0,
                "short_factor": [1.0] * 4,
                "long_factor": [4.0] * 4,
                "original_max_position_embeddings": 16,
            },
        },
    ),
}
GEMMA = {"query_pre_attn_scalar": 8, "layer_types": _alternating()}
WINDOWED = {
    "mistral": ("mistral", {}),
    "qwen2": ("qwen2", {"use_sliding_window": True, "max_window_layers": 1}),
    "qwen3": ("qwen3", {"use_sliding_window": True, "max_window_layers": 1}),
    "gemma2": ("gemma2", GEMMA),
    "gemma3_text": ("gemma3_text", GEMMA),
    "phi3": ("phi3", {}),
    "olmo3": ("olmo3", {"layer_types": _alternating()}),
    "gpt_oss": ("gpt_oss", MOE | {"layer_types": _alternating()}),
    "smollm3": ("smollm3", {"use_sliding_window": True, "layer_types": _alternating(), "no_rope_layers": [1, 0, 1]}),
    "cohere2": ("cohere2", {"layer_types": _alternating()}),
    "starcoder2": ("starcoder2", {}),
    "exaone4": ("exaone4", {"layer_types": _alternating()}),
    "ministral": ("ministral", {"layer_types": _alternating()}),
    "mimo_v2": ("mimo_v2_flash", MOE | {"layer_types": _alternating(), "v_head_dim": 8, "n_group": 1, "topk_group": 1}),
    "gemma3": ("gemma3_text", GEMMA),
    "gemma3n": (
        "gemma3n_text",
        {
            "layer_types": _alternating("sliding_attention", 4),
            "num_hidden_layers": 4,
            "intermediate_size": [48] * 4,
            "activation_sparsity_pattern": [0.0] * 4,
            "num_kv_shared_layers": 0,
            "hidden_size_per_layer_input": 8,
            "vocab_size_per_layer_input": VOCABULARY,
            "laurel_rank": 4,
        },
    ),
    "gemma4": (
        "gemma4_text",
        {
            "layer_types": _alternating(),
            "hidden_size_per_layer_input": 0,
            "global_head_dim": 8,
            "num_kv_shared_layers": 0,
            "num_global_key_value_heads": 2,
        },
    ),
    "vaultgemma": ("vaultgemma", GEMMA),
    "modernbert-decoder": ("modernbert-decoder", {"layer_types": _alternating(), "local_attention": 8}),
    "afmoe": ("afmoe", MOE | {"layer_types": _alternating(), "num_dense_layers": 1, "global_attn_every_n_layers": 2}),
    "mixtral": ("mixtral", MOE),
    "llama4": (
        "llama4_text",
        MOE
        | {
            "layer_types": _alternating("chunked_attention"),
            "intermediate_size_mlp": 48,
            "no_rope_layers": [1, 0, 1],
            "attn_temperature_tuning": False,
            "interleave_moe_layer_step": 2,
        },
    ),
    "granite_swa": ("granite_swa", {"layer_types": _alternating()}),
    "cwm": ("cwm", {"layer_types": _alternating()}),
}
STATE = "and not attention"
REFUSED = dict.fromkeys(
    [
        "qwen3_next",
        "qwen3_5",
        "lfm2",
        "lfm2_moe",
        "granitemoehybrid",
        "bamba",
        "jamba",
        "zamba2",
        "minimax",
        "olmo_hybrid",
        "recurrent_gemma",
        "mamba",
        "mamba2",
        "falcon_mamba",
        "falcon_h1",
        "nemotron_h",
        "rwkv",
    ],
    STATE,
)
REFUSED |= dict.fromkeys(["bloom", "mpt", "falcon-alibi"], "ALiBi")
REFUSED |= {"gpt_neo": "a mask of its own", "llama-dynamic-rope": "set max_length", "phi3-longrope": "set max_length"}
