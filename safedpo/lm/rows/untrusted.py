"""A chat template is somebody else's program, and a prompt somebody else's text: both are kept in their place.

transformers renders templates in Jinja's sandbox. What is added here: a time limit, a memory limit (on Linux), errors as one
sentence, a limit on the text that comes out, and no special token that a prompt or a response merely spells.
"""

import ctypes
import os
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

from safedpo.errors import UserError, brief

SECONDS = 5.0  # for one turn; the templates in use need a millisecond
MEMORY = 2 * 2**30  # bytes that a template may take while it is rendered
LONGEST = 1_000_000  # characters that a template may add to its turns
_ONE_LIMIT = threading.RLock()  # the limit is the process's: a second thread would put the first one's back for good
_WAY_OUT = "use template plain, or take the tokenizer from another source"


class _TooLong(BaseException):
    """Raised inside a template that does not end; no `except Exception` of a library can swallow it."""


def render(tokenizer, turns: Sequence[dict], **how) -> str:
    """The text of `turns` under the tokenizer's chat template; `UserError` for a template that fails or does not end.

    >>> from safedpo.lm.models.tiny import tiny_tokenizer
    >>> tokenizer = tiny_tokenizer()
    >>> tokenizer.chat_template = "{{ raise_exception('no') }}"
    >>> render(tokenizer, [{"role": "user", "content": "hi"}])
    Traceback (most recent call last):
    ...
    safedpo.errors.UserError: the tokenizer's chat template fails (TemplateError: no); use template plain, ...
    """
    try:
        _refuse_powers(str(tokenizer.chat_template))
        with time_limit(SECONDS), memory_limit(MEMORY):
            text = tokenizer.apply_chat_template(list(turns), tokenize=False, **how)
    except UserError:
        raise
    except _TooLong:
        raise UserError(f"the tokenizer's chat template does not end within {SECONDS:g} seconds; {_WAY_OUT}") from None
    except Exception as error:  # a template can raise whatever Python can
        found = f"{type(error).__name__}: {brief(str(error))}"
        raise UserError(f"the tokenizer's chat template fails ({found}); {_WAY_OUT}") from error
    given = sum(len(turn["content"]) for turn in turns)
    if not isinstance(text, str) or len(text) > given + LONGEST:
        raise UserError(f"the tokenizer's chat template makes {len(text):,} characters of {given}; {_WAY_OUT}")
    return text


@lru_cache(maxsize=8)
def _refuse_powers(template: str) -> None:
    """No template needs a power, and `10 ** 10 ** 10` is one step of Python, which no time limit stops."""
    from jinja2 import Environment

    if "**" in template and any(token[1:] == ("operator", "**") for token in Environment().lex(template)):
        raise UserError(f"the tokenizer's chat template computes a power, which can take for ever; {_WAY_OUT}")


@contextmanager
def memory_limit(more: int) -> Iterator[None]:
    """At most `more` bytes of address space beyond what the process has, where the system is Linux: else no limit.

    >>> try:
    ...     with memory_limit(2**20):
    ...         _ = bytearray(2**30)
    ... except MemoryError:
    ...     print("stopped")
    stopped
    """
    if sys.platform != "linux":
        yield
        return
    import resource

    with _ONE_LIMIT:
        now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        soft, hard = resource.getrlimit(resource.RLIMIT_AS)
        ends = [now + more, *(one for one in (soft, hard) if one != resource.RLIM_INFINITY)]
        try:
            resource.setrlimit(resource.RLIMIT_AS, (min(ends), hard))
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Stop Python code that does not end by an exception in its thread (any thread: no signal is used).

    >>> try:
    ...     with time_limit(0.01):
    ...         while True:
    ...             pass
    ... except _TooLong:
    ...     print("stopped")
    stopped
    """
    mark = object()
    try:  # around the beginning too: Ctrl-C may come while it waits for its thread
        _WATCH.begin(mark, seconds)
        yield
    finally:
        _WATCH.end(mark)


class _Watch:
    """One thread for all limits, which ends when nothing is left to watch: to start one costs more than most templates."""

    LOOK, REST = 0.05, 0.5  # seconds between two looks, and without a limit until it ends

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.thread: threading.Thread | None = None
        self.ends: dict[object, tuple[int, float]] = {}  # mark of a limit: its thread, and when it passes

    def begin(self, mark: object, seconds: float) -> None:
        with self.lock:
            self.ends[mark] = threading.get_ident(), time.monotonic() + seconds
            if self.thread is None or not self.thread.is_alive():  # a forked process has no thread but its own
                self.thread = threading.Thread(target=self._look, daemon=True)
                self.thread.start()

    def end(self, mark: object) -> None:
        with self.lock:
            self.ends.pop(mark, None)

    def _look(self) -> None:
        rested = 0
        while rested < self.REST / self.LOOK:
            time.sleep(self.LOOK)
            with self.lock:
                rested = 0 if self.ends else rested + 1
                for mark, (thread, end) in list(self.ends.items()):
                    if time.monotonic() >= end:  # taken out first, so that it is stopped once
                        del self.ends[mark]
                        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(_TooLong))
                if rested >= self.REST / self.LOOK:
                    self.thread = None


_WATCH = _Watch()
if hasattr(os, "register_at_fork"):  # a process that is forked while the lock is held would wait for it for ever
    os.register_at_fork(
        before=_WATCH.lock.acquire, after_in_parent=_WATCH.lock.release, after_in_child=_WATCH.lock.release
    )


def special_token_in(tokenizer, text: str) -> str | None:
    """The first special token that `text` spells, or None. Tokenized, it would be the token itself and no text.

    >>> from safedpo.lm.models.tiny import tiny_tokenizer
    >>> special_token_in(tiny_tokenizer(), "so </s> so"), special_token_in(tiny_tokenizer(), "so")
    ('</s>', None)
    """
    return next((token for token in _special(tokenizer) if token in text), None)


@lru_cache(maxsize=8)
def _special(tokenizer) -> tuple[str, ...]:
    added = getattr(tokenizer, "added_tokens_decoder", {}).values()
    named = {token.content for token in added if token.special} | set(getattr(tokenizer, "all_special_tokens", ()))
    return tuple(sorted(token for token in named if token.strip()))
