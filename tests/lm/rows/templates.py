"""Chat templates in the styles of today's families, written for these tests, and a byte tokenizer with their special tokens.

STYLES: name -> (template, what stands before a response to "hi", the tokens that end it as text).
"""

import json

from tokenizers import Tokenizer

from safedpo.lm.models.tiny import tiny_tokenizer

SPECIAL = [
    "<|im_start|>",
    "<|im_end|>",
    "<start_of_turn>",
    "<end_of_turn>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|eot_id|>",
]
SPECIAL += [
    "<|user|>",
    "<|assistant|>",
    "<|end|>",
    "<|system|>",
    "[INST]",
    "[/INST]",
    "<think>",
    "</think>",
    "<|START|>",
    "<|CHAT|>",
    "<|END|>",
]
CHATML = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
ASK = "{% if add_generation_prompt %}"
SYSTEM = "{% if messages[0].role != 'system' %}<|im_start|>system\nBe good.<|im_end|>\n{% endif %}"
THINKING = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.role == 'assistant' and loop.last and not (no_block is defined and "
    "no_block) %}<think>\n\n</think>\n\n{% endif %}{{ m.content }}<|im_end|>\n{% endfor %}"
)
OPENED = (
    "<s>{% for m in messages %}{% if m.role == 'user' %}<|user|>{{ m.content }}{% else %}<|assistant|>"
    "{{ m.content.split('</think>')[-1] }}</s>{% endif %}{% endfor %}" + ASK + "<|assistant|><think>\n{% endif %}"
)
INST = (
    "{% for m in messages %}{% if m.role == 'user' %}<s>[INST] {{ m.content }} [/INST]"
    "{% else %} {{ m.content }} </s>{% endif %}{% endfor %}"
)
HEADER = (
    "<s><|start_header_id|>system<|end_header_id|>\n\nToday: {{ strftime_now('%d %b %Y') }}<|eot_id|>{% for m in messages %}"
    "<|start_header_id|>{{ m.role }}<|end_header_id|>\n\n{{ m.content | trim }}<|eot_id|>{% endfor %}"
    + ASK
    + "<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)
TRIMMED = (
    "<s>{% for m in messages %}<start_of_turn>{{ 'model' if m.role == 'assistant' else m.role }}\n{{ m.content | trim }}"
    "<end_of_turn>\n{% endfor %}"
)
BARS = "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}<|end|>\n{% endfor %}"
ZEPHYR = "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}</s>\n{% endfor %}"
WORDS = (
    "{% for m in messages %}{{ 'USER' if m.role == 'user' else 'ASSISTANT' }}: {{ m.content }}"
    "{{ '</s>' if m.role == 'assistant' else ' ' }}{% endfor %}"
)
OPEN_END = "{% for m in messages %}### {{ m.role }}:\n{{ m.content }}\n\n{% endfor %}"
CHAT = "{% for m in messages %}<|START|>{{ m.role | upper }}<|CHAT|>{{ m.content }}<|END|>{% endfor %}"

STYLES = {
    "chatml": (CHATML, "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n", "<|im_end|>"),
    "chatml with a default system turn": (
        SYSTEM + CHATML,
        "<|im_start|>system\nBe good.<|im_end|>\n<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n",
        "<|im_end|>",
    ),
    "an empty think block": (
        THINKING,
        "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n",
        "<|im_end|>",
    ),
    "an opened think block": (OPENED, "<s><|user|>hi<|assistant|>", "</s>"),
    "spaces around the answer": (INST, "<s>[INST] hi [/INST]", " </s>"),
    "no space around the answer": (
        INST.replace(" {{ m.content }} </s>", "{{ m.content }}</s>"),
        "<s>[INST] hi [/INST]",
        "</s>",
    ),
    "headers and a date": (
        HEADER,
        "<s><|start_header_id|>system<|end_header_id|>\n\nToday: 01 Jan 2026<|eot_id|><|start_header_id|>user<|end_header_id|>"
        "\n\nhi<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
        "<|eot_id|>",
    ),
    "trimmed": (TRIMMED, "<s><start_of_turn>user\nhi<end_of_turn>\n<start_of_turn>model\n", "<end_of_turn>"),
    "bars": (BARS, "<|user|>\nhi<|end|>\n<|assistant|>\n", "<|end|>"),
    "bars with end-of-text": (ZEPHYR, "<|user|>\nhi</s>\n<|assistant|>\n", "</s>"),
    "words": (WORDS, "USER: hi ASSISTANT:", "</s>"),
    "no end of its own": (OPEN_END, "### user:\nhi\n\n### assistant:\n", "</s>"),
    "upper case": (CHAT, "<|START|>USER<|CHAT|>hi<|END|><|START|>ASSISTANT<|CHAT|>", "<|END|>"),
}


def tokenizer_with(template: str):
    """Bytes as tokens, `</s>` as end-of-text, and the special tokens of all styles."""
    tokenizer = tiny_tokenizer()
    tokenizer.add_special_tokens({"additional_special_tokens": SPECIAL})
    tokenizer.chat_template = template
    return tokenizer


def merging_tokenizer(*merges: tuple[str, str], template: str | None = None):
    """The byte tokenizer with merges, as larger vocabularies have them."""
    tokenizer = tiny_tokenizer() if template is None else tokenizer_with(template)
    state = json.loads(tokenizer.backend_tokenizer.to_str())
    for left, right in merges:
        state["model"]["vocab"][left + right] = 400 + len(state["model"]["merges"])
        state["model"]["merges"].append([left, right])
    tokenizer._tokenizer = Tokenizer.from_str(json.dumps(state))
    return tokenizer
