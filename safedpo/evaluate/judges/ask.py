"""Who is asked: any address that speaks OpenAI's chat completions, a local model, or a word filter."""

import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from safedpo.errors import UserError, brief

TRIES = 4
LARGEST_REPLY = 1_000_000  # bytes
Ask = Callable[[Sequence[str]], "list[Reply]"]


@dataclass(frozen=True)
class Reply:
    """What came back: the text, the seconds it took, and tokens read and written (None where nobody counted)."""

    text: str
    seconds: float
    tokens_in: int | None = None
    tokens_out: int | None = None


class Unreachable(UserError):
    """A judge that does not answer; what was judged before is kept."""


@dataclass(frozen=True)
class Address:
    """An OpenAI-compatible server: its address up to `/v1`, the model it is to use, and how patient we are.

    `key_env` names the environment variable that holds the key; the key itself is neither stored nor printed.
    """

    url: str
    model: str
    key_env: str = "OPENAI_API_KEY"
    timeout: float = 60.0
    workers: int = 4
    max_tokens: int = 16
    pause: float = 1.0  # seconds before the second try, doubled at each further one

    @property
    def name(self) -> str:
        """What stands in the stored verdicts."""
        return f"{self.model} at {self.url}"

    def __call__(self, texts: Sequence[str]) -> list[Reply]:
        with ThreadPoolExecutor(self.workers) as pool:
            return list(pool.map(self._one, texts))

    def _one(self, text: str) -> Reply:
        begin, problem = time.perf_counter(), "no answer"
        for attempt in range(TRIES):
            if attempt:
                time.sleep(self.pause * 2 ** (attempt - 1))
            try:
                return self._post(text, begin)
            except urllib.error.HTTPError as error:
                problem = f"HTTP {error.code}: {brief(error.read(300).decode(errors='replace'))}"
                if error.code not in (408, 409, 429) and error.code < 500:
                    break  # asking again would not help
            except (OSError, TimeoutError) as error:
                problem = brief(str(getattr(error, "reason", None) or error)) or type(error).__name__
        raise Unreachable(
            f"the judge at {self.url} does not answer ({problem}); what was judged is kept: check the address, the model's "
            f"name and the key in ${self.key_env}, then start the same command again"
        )

    def _post(self, text: str, begin: float) -> Reply:
        body = {
            "model": self.model,
            "messages": [{"role": "user", "content": text}],
            "temperature": 0,
            "max_tokens": self.max_tokens,
        }
        headers = {"Content-Type": "application/json"}
        if key := os.environ.get(self.key_env):
            headers["Authorization"] = f"Bearer {key}"
        request = urllib.request.Request(
            f"{self.url.rstrip('/')}/chat/completions", json.dumps(body).encode(), headers, method="POST"
        )
        with urllib.request.urlopen(request, timeout=self.timeout) as response:
            raw = response.read(LARGEST_REPLY)
        try:
            content = json.loads(raw)
            said = content["choices"][0]["message"]["content"]
            used = content.get("usage") or {}
            return Reply(
                str(said or ""), time.perf_counter() - begin, used.get("prompt_tokens"), used.get("completion_tokens")
            )
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            raise Unreachable(
                f"{self.url} answers, but not as an OpenAI-compatible server does ({brief(raw.decode(errors='replace'), 80)!r}); "
                "give the address that ends in /v1"
            ) from error


def local_judge(name: str, *, dtype: str = "auto", max_tokens: int = 8, batch_size: int = 16) -> tuple[str, Ask]:
    """A model on this machine as a judge, its most probable reply; (its name and fingerprint, the function to ask it)."""
    from safedpo.evaluate.generation import Decoding, generate
    from safedpo.lm.models.load import load_model

    loaded = load_model(name, dtype=dtype)
    decoding = Decoding(samples=0, greedy=True, max_new_tokens=max_tokens)

    def ask(texts: Sequence[str]) -> list[Reply]:
        begin = time.perf_counter()
        said = generate(loaded.model, loaded.tokenizer, texts, decoding, batch_size=batch_size, progress=False)
        each = (time.perf_counter() - begin) / len(texts)
        count = [len(loaded.tokenizer(text)["input_ids"]) for text in texts]
        return [Reply(one.greedy or "", each, tokens, None) for one, tokens in zip(said, count, strict=True)]

    return f"{name} ({loaded.fingerprint}, {str(loaded.dtype).removeprefix('torch.')})", ask


def word_filter() -> tuple[str, Callable[[str], bool]]:
    """The negative control: a filter of rude words (PyPI's better-profanity). (its name, text -> is there a rude word)."""
    try:
        from better_profanity import profanity
    except ImportError as error:
        raise UserError(
            "the word filter needs the package better-profanity; run: pip install better-profanity"
        ) from error
    from importlib.metadata import version

    profanity.load_censor_words()
    return f"better-profanity {version('better-profanity')}", lambda text: bool(profanity.contains_profanity(text))
