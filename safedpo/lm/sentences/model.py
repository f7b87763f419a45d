"""A small Llama that speaks a `Grammar`, and the exact log-probability of every sentence it can say.

With the mask on, a word that may not follow gets the logit -inf inside the model's own forward: the grammar's sentences
are then the *whole* space of answers and their probabilities sum to one. With it off the same weights are an ordinary
language model, and what the sum lacks is the mass of strings outside the grammar.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from peft import PeftModel
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel

from safedpo.lm.sentences.grammar import END, Grammar

SHAPE = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
}


class SentenceLM(LlamaForCausalLM):
    """`LlamaForCausalLM` that gives illegal words no probability, if `config.masked`; all else is inherited.

    `illegal` (V, V) bool: row = the word before. Prompt words allow everything: nothing is predicted after them.
    """

    def __init__(self, config: LlamaConfig):
        super().__init__(config)
        self.register_buffer("illegal", torch.zeros(config.vocab_size, config.vocab_size, dtype=torch.bool))

    def forward(
        self,
        input_ids,
        attention_mask=None,
        position_ids=None,
        past_key_values=None,
        logits_to_keep: int | Tensor = 0,
        **others,
    ):
        output = super().forward(
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            logits_to_keep=logits_to_keep,
            **others,
        )
        if self.config.masked:
            kept = logits_to_keep if isinstance(logits_to_keep, Tensor) else slice(-logits_to_keep, None)
            output.logits = output.logits.masked_fill(self.illegal[input_ids[:, kept]], -torch.inf)
        return output


def sentence_model(
    grammar: Grammar, vocabulary: dict[str, int], *, masked: bool = True, seed: int = 0, width: int | None = None
) -> SentenceLM:
    """A new model with random weights for a grammar whose words are in `vocabulary` (word -> id).

    `width`: another hidden size than that of `SHAPE`, with feed-forward layers twice as wide.

    >>> from safedpo.lm.sentences.grammar import ANSWER
    >>> tea = Grammar({ANSWER: ("drink",), "drink": ("tea", END), "tea": (END,)})
    >>> model = sentence_model(tea, {word: i for i, word in enumerate([*tea.words, ANSWER])})
    >>> model(torch.tensor([[3, 1]])).logits[0].isfinite().int().tolist()   # <answer> -> drink; drink -> <end>, tea
    [[0, 1, 0, 0], [1, 0, 1, 0]]
    """
    config = LlamaConfig(
        vocab_size=len(vocabulary),
        bos_token_id=None,
        eos_token_id=vocabulary[END],
        pad_token_id=vocabulary[END],
        tie_word_embeddings=False,
        masked=masked,
        **SHAPE | ({"hidden_size": width, "intermediate_size": 2 * width} if width else {}),
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = SentenceLM(config).eval()
    for word, after in {**grammar.follows, END: (END,)}.items():
        model.illegal[vocabulary[word]] = True
        model.illegal[vocabulary[word], [vocabulary[next_word] for next_word in after]] = False
    return model


@dataclass(frozen=True)
class Level:
    """Depth t of the tree of answers: one node for each distinct beginning of t tokens.

    `parent` and `token` (n,) say which beginning each node prolongs, and by what; `grows` lists the nodes that
    have children; answers `answers` end at the nodes `ends`.
    """

    parent: Tensor
    token: Tensor
    grows: Tensor
    answers: Tensor
    ends: Tensor


def answer_tree(answers: Sequence[tuple[int, ...]]) -> list[Level]:
    """The tree of answers (token ids with their end token), so that a shared beginning is computed once.

    >>> [level.token.tolist() for level in answer_tree([(5, 0), (5, 6, 0)])]
    [[5], [0, 6], [0]]
    """
    levels: list[Level] = []
    places: dict[tuple[int, ...], int] = {(): 0}
    for depth in range(1, max(map(len, answers)) + 1):
        nodes = {ids[:depth]: None for ids in answers if len(ids) >= depth}  # in order, each once
        index = {node: i for i, node in enumerate(nodes)}
        going_on = dict.fromkeys(ids[:depth] for ids in answers if len(ids) > depth)
        ending = [(number, index[ids]) for number, ids in enumerate(answers) if len(ids) == depth]
        levels.append(
            Level(
                parent=torch.tensor([places[node[:-1]] for node in nodes]),
                token=torch.tensor([node[-1] for node in nodes]),
                grows=torch.tensor([index[node] for node in going_on], dtype=torch.long),
                answers=torch.tensor([number for number, _ in ending], dtype=torch.long),
                ends=torch.tensor([node for _, node in ending], dtype=torch.long),
            )
        )
        places = {node: i for i, node in enumerate(going_on)}
    return levels


@torch.no_grad()
def answer_logps(model: PreTrainedModel | PeftModel, prompt_ids: tuple[int, ...], tree: list[Level]) -> Tensor:
    """log pi(y | x) of every answer of the tree, (A,) float64 on the CPU: one batched forward for each depth.

    Keys and values of a beginning are computed once and handed on to all that prolong it. `model` may carry LoRA.

    >>> from safedpo.lm.models.tiny import tiny_model
    >>> whole = answer_logps(tiny_model(), (5, 6), answer_tree([(7, 1), (7, 8, 1)]))
    >>> alone = answer_logps(tiny_model(), (5, 6), answer_tree([(7, 8, 1)]))
    >>> whole.shape, abs(whole[1] - alone[0]).item() < 1e-5
    (torch.Size([2]), True)
    """
    was_training = model.training
    model.eval()
    output = model(input_ids=torch.tensor([prompt_ids], device=model.device), use_cache=True)
    logps = torch.zeros(1, dtype=torch.float64)
    found = torch.full((sum(len(level.answers) for level in tree),), -torch.inf, dtype=torch.float64)
    for level in tree:
        conditional = output.logits[:, -1].cpu().double().log_softmax(-1)  # (nodes that grow, V)
        logps = logps[level.parent] + conditional[level.parent, level.token]
        found[level.answers] = logps[level.ends]
        logps = logps[level.grows]
        if len(level.grows):
            parents, tokens = level.parent[level.grows], level.token[level.grows]
            cache = output.past_key_values
            cache.batch_select_indices(parents.to(model.device))
            output = model(input_ids=tokens[:, None].to(model.device), past_key_values=cache, use_cache=True)
    model.train(was_training)
    return found
