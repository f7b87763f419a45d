"""A language so small that every sentence of it can be listed: a graph that says which word may follow which.

    <answer> -> first -> pour -> vinegar -> over -> soda -> then -> rinse -> <end>

Whether a word is legal depends on the word before it alone, so a model can mask illegal words inside its own forward,
whatever the shape of its input. The graph has no cycles, so the sentences are finitely many and each is finite.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from safedpo.errors import UserError

END, ASK, ANSWER = "<end>", "<ask>", "<answer>"
LARGEST = 20_000  # sentences; beyond that a table of them is no longer a matter of a second
CHAT = (
    ASK
    + " {{ messages[0]['content'] }}{% if add_generation_prompt or messages[1] is defined %} "
    + ANSWER
    + " {% endif %}"
    "{% if messages[1] is defined %}{{ messages[1]['content'] }}{% endif %}"
)


@dataclass(frozen=True)
class Grammar:
    """`follows[word]`: the words that may come next; a sentence goes from `<answer>` to `<end>`.

    Raises `UserError` for a word that nothing follows, for endless sentences, and for more than `largest` of them.

    >>> tea = Grammar({ANSWER: ("drink",), "drink": ("tea", "water"), "tea": (END,), "water": ("slowly", END),
    ...                "slowly": (END,)})
    >>> tea.count, tea.sentences
    (3, ('drink tea', 'drink water slowly', 'drink water'))
    """

    follows: Mapping[str, tuple[str, ...]]
    largest: int = field(default=LARGEST, repr=False)

    def __post_init__(self):
        if self.count > self.largest:
            raise UserError(
                f"this grammar has {self.count:,} sentences, too many to list (at most {self.largest:,}); "
                "take words or branches out of it"
            )

    @cached_property
    def count(self) -> int:
        """The number of sentences, counted without listing them: from each word, the sum over the words that follow."""
        ways: dict[str, int | None] = {END: 1}

        def count_from(word: str) -> int:
            if word not in ways:
                ways[word] = None  # on the way; meeting it again closes a cycle
                if not self.follows.get(word):
                    raise UserError(f"nothing may follow {word!r} in this grammar; let {END} follow it")
                ways[word] = sum(count_from(after) for after in self.follows[word])
            if (found := ways[word]) is None:
                raise UserError(f"{word!r} can come again after itself, so this grammar has endless sentences")
            return found

        return count_from(ANSWER)

    @cached_property
    def sentences(self) -> tuple[str, ...]:
        """Every sentence, in the order in which the words stand in `follows`."""

        def endings(word: str) -> list[tuple[str, ...]]:
            if word == END:
                return [()]
            return [(after, *rest) for after in self.follows[word] for rest in endings(after)]

        return tuple(" ".join(words[:-1]) for words in endings(ANSWER))

    @cached_property
    def words(self) -> tuple[str, ...]:
        """Every word that a sentence can hold, `<end>` first."""
        return tuple(dict.fromkeys([END, *(word for after in self.follows.values() for word in after)]))


class WordTokenizer(PreTrainedTokenizerFast):
    """One token a word. A word that it does not know is refused by name: there is no token for "unknown".

    >>> words = word_tokenizer(("<end>", "pour", "soap"))
    >>> words("pour soap")["input_ids"]
    [1, 2]
    >>> words("pour petrol")
    Traceback (most recent call last):
    ...
    safedpo.errors.UserError: this tokenizer has no token for 'petrol'; its words are <end>, pour, soap
    """

    def __call__(self, text, **how):
        known = self.get_vocab()
        for line in [text] if isinstance(text, str) else text:
            for word in line.split():
                if word not in known:
                    raise UserError(
                        f"this tokenizer has no token for {word!r}; its words are {', '.join(sorted(known))}"
                    )
        return super().__call__(text, **how)


def word_tokenizer(words: tuple[str, ...]) -> WordTokenizer:
    """A tokenizer in memory: the words, in this order, are the ids; `<end>` ends a response and fills padding.

    >>> word_tokenizer((END, "spray", "soap"))("spray soap")["input_ids"]
    [1, 2]
    """
    backend = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return WordTokenizer(
        tokenizer_object=backend, eos_token=END, pad_token=END, chat_template=CHAT, clean_up_tokenization_spaces=False
    )
