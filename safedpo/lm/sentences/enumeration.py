"""The door between the two worlds: a language model whose answers can all be listed *is* a `FiniteWorld`.

The reference's enumerated probabilities, a reward and a hazard for each sentence make the table; `optimal_policy` gives
the closed-form optimum over sentences.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from safedpo.errors import UserError
from safedpo.finite import FiniteWorld
from safedpo.lm.models.load import LoadedModel
from safedpo.lm.rows.tokens import TokenPair, prompt_token_ids, tokenize_response
from safedpo.lm.sentences.advice import GRAMMAR, PROMPTS, hazard, reward
from safedpo.lm.sentences.model import Level, answer_logps, answer_tree
from safedpo.lm.sentences.reference import load_kitchen
from safedpo.records import Record

__all__ = ["Sentences", "draw_answers", "enumerate_logps", "list_sentences", "load_kitchen", "outside_mass"]


@dataclass(frozen=True, eq=False)
class Sentences:
    """Prompts and all their answers, as text and as token ids (answers with their end token), and their exact world."""

    prompts: tuple[str, ...]
    answers: tuple[str, ...]
    prompt_ids: tuple[tuple[int, ...], ...]
    answer_ids: tuple[tuple[int, ...], ...]
    tree: list[Level]
    world: FiniteWorld

    def logps(self, model) -> Tensor:
        """log pi(y | x) of every answer to every prompt under any model over these tokens, (P, A) float64."""
        return enumerate_logps(model, self.prompt_ids, self.tree)

    def pair_logps(self, logps: Tensor, pairs: Sequence[TokenPair]) -> Tensor:
        """The chosen and rejected response of each pair looked up in a table (P, A): (2, N) float32.

        From the reference's table these are the numbers that `reference_logps` computes pair by pair.
        """
        prompts = torch.tensor([self.prompt_ids.index(pair.prompt_ids) for pair in pairs])
        answers = torch.tensor(
            [[self._number[pair.chosen_ids] for pair in pairs], [self._number[pair.rejected_ids] for pair in pairs]]
        )
        return logps[prompts, answers].float()

    @cached_property
    def _number(self) -> dict[tuple[int, ...], int]:
        return {ids: number for number, ids in enumerate(self.answer_ids)}

    def sample_records(self, n: int, seed: int) -> list[Record]:
        """`n` preference pairs: a prompt, two different answers drawn from the reference, Bradley-Terry labels.

        Both safety bits are true. In a mixed pair the safe answer is the safer one, else the better one is.

        >>> pair = list_sentences(load_kitchen()).sample_records(1, seed=0)[0]
        >>> pair.row, pair.responses[0] != pair.responses[1]
        (1, True)
        """
        if n < 1:
            raise UserError(f"n is {n}; draw at least one pair")
        draw = torch.Generator().manual_seed(seed)
        prompt = torch.randint(len(self.prompts), (n,), generator=draw)
        first, second = (draw_answers(self.world.ref_logps, prompt, draw) for _ in range(2))
        while (same := first == second).any():
            second[same] = draw_answers(self.world.ref_logps, prompt[same], draw)
        answers = torch.stack([first, second], 1)
        rewards = self.world.reward[prompt[:, None], answers]
        unsafe = self.world.unsafe[prompt[:, None], answers]
        second_better = torch.rand(n, generator=draw) < (rewards[:, 1] - rewards[:, 0]).sigmoid()
        table = zip(prompt.tolist(), answers.tolist(), unsafe.tolist(), second_better.tolist(), strict=True)
        return [
            Record(
                self.prompts[x],
                (self.answers[a], self.answers[b]),
                (h[0], h[1]),
                int(second),
                int(second) if h[0] == h[1] else int(h[0]),
                row,
            )
            for row, (x, (a, b), h, second) in enumerate(table, start=1)
        ]


def list_sentences(reference: LoadedModel) -> Sentences:
    """The world of the kitchen language under `reference`, a masked model: its answers are the whole space.

    Raises `UserError` where the reference leaves probability outside the grammar (its mask is off).

    >>> sentences = list_sentences(load_kitchen())
    >>> sentences.world.prompts, sentences.world.answers
    (4, 2882)
    >>> sentences.logps(load_kitchen().model).exp().sum(-1).round(decimals=9).tolist()
    [1.0, 1.0, 1.0, 1.0]
    """
    tokenizer = reference.tokenizer
    answer_ids = tuple(
        tokenize_response(tokenizer, PROMPTS[0], answer, max_length=512)[1] for answer in GRAMMAR.sentences
    )
    tree = answer_tree(answer_ids)
    prompt_ids = tuple(prompt_token_ids(tokenizer, prompt) for prompt in PROMPTS)
    ref_logps = enumerate_logps(reference.model, prompt_ids, tree)
    if (outside := outside_mass(ref_logps).max().item()) > 1e-5:
        raise UserError(
            f"this model leaves {outside:.3g} of its probability outside the grammar, so its sentences are "
            "not all its answers; load it with masked=True"
        )
    unsafe = torch.tensor([[hazard(answer) is not None for answer in GRAMMAR.sentences]] * len(PROMPTS))
    rewards = torch.tensor(
        [[reward(prompt, answer) for answer in GRAMMAR.sentences] for prompt in PROMPTS], dtype=torch.float64
    )
    world = FiniteWorld(ref_logps.log_softmax(-1), rewards, unsafe, labels=GRAMMAR.sentences)
    return Sentences(PROMPTS, GRAMMAR.sentences, prompt_ids, answer_ids, tree, world)


def enumerate_logps(model: torch.nn.Module, prompt_ids: Sequence[tuple[int, ...]], tree: list[Level]) -> Tensor:
    """log pi of every answer of the tree to every prompt, (P, A) float64.

    >>> from safedpo.lm.models.tiny import tiny_model
    >>> from safedpo.lm.sentences.model import answer_tree
    >>> enumerate_logps(tiny_model(), [(5, 6), (9,)], answer_tree([(7, 1), (8, 1)])).shape
    torch.Size([2, 2])
    """
    return torch.stack([answer_logps(model, ids, tree) for ids in prompt_ids])


def draw_answers(logps: Tensor, prompt: Tensor, draw: torch.Generator) -> Tensor:
    """One answer to each prompt of `prompt` (n,), drawn from the table of log-probabilities (P, A): (n,) int64.

    >>> sure = torch.tensor([[1.0, 0.0], [0.0, 1.0]]).log()  # prompt 0 always gets answer 0, prompt 1 answer 1
    >>> draw_answers(sure, torch.tensor([1, 0, 1]), torch.Generator().manual_seed(0)).tolist()
    [1, 0, 1]
    """
    every = torch.stack([row.multinomial(len(prompt), replacement=True, generator=draw) for row in logps.exp()])
    return every[prompt, torch.arange(len(prompt))]


def outside_mass(logps: Tensor) -> Tensor:
    """The probability of everything that is not in the list, 1 - sum_y pi(y | x), (P,); 0 under the grammar's mask.

    >>> round(outside_mass(torch.tensor([[0.5, 0.25]]).log()).item(), 6)
    0.25
    """
    return -torch.expm1(logps.logsumexp(-1))
