"""The masked Llama and the tree of answers."""

import torch
from transformers import LlamaForCausalLM

from safedpo.files import shipped
from safedpo.lm.sentences.grammar import ANSWER, END, Grammar
from safedpo.lm.sentences.model import answer_tree
from safedpo.lm.sentences.reference import load_kitchen


def test_without_the_mask_it_is_an_ordinary_llama():
    plain = LlamaForCausalLM.from_pretrained(shipped("data") / "sentences").eval()
    ids = torch.tensor([[5, 9, 3, 0, 30, 2]])
    assert torch.equal(plain(input_ids=ids).logits, load_kitchen(masked=False).model(input_ids=ids).logits)


def test_tree_shares_beginnings_and_loses_no_answer():
    answers = [(5, 6, 0), (5, 0), (7, 6, 0), (5, 6, 7, 0)]
    tree = answer_tree(answers)
    assert [level.token.tolist() for level in tree] == [[5, 7], [6, 0, 6], [0, 0, 7], [0]]
    assert sorted(torch.cat([level.answers for level in tree]).tolist()) == [0, 1, 2, 3]
    tea = Grammar({ANSWER: ("drink",), "drink": ("tea", "water", END), "tea": (END,), "water": (END,)})
    words = {word: i for i, word in enumerate([*tea.words, ANSWER])}
    assert len(answer_tree([(*(words[w] for w in s.split()), 0) for s in tea.sentences])[0].token) == 1
