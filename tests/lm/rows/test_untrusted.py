"""Hostile chat templates end in one sentence, in time; a text that spells a special token is refused, not obeyed."""

import os
import sys
import threading
import time

import pytest

from safedpo.errors import UserError
from safedpo.lm.models.tiny import tiny_tokenizer
from safedpo.lm.rows import untrusted
from safedpo.lm.rows.tokens import RowError, prompt_text, prompt_token_ids, tokenize_pairs, tokenize_response
from safedpo.records import Record

ENDLESS = [
    "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
    "{% macro f(n) %}{{ f(n) if n else '' }}{% endmacro %}"
    "{% for i in range(99999) %}{% for j in range(99999) %}{{ i * j }}{% endfor %}{% endfor %}",
    "{% set ns = namespace(x='a') %}{% for i in range(99999) %}{% for j in range(9999) %}{% set ns.x = j %}{% endfor %}{% endfor %}",
]
FAILING = [
    "{{ raise_exception('\x1b[31mred') }}",
    "{{ 1 / 0 }}",
    "{{ nothing.at.all }}",
    "{{ messages[99].content }}",
    "{% if %}",
    "{{ ''.__class__.__mro__ }}",
    "{{ cycler.__init__.__globals__.os.system('true') }}",
    "{% include 'x' %}",
    "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "{{ 'a' * (10 ** 12) }}",
    "{% for i in range(10 ** 9) %}{% endfor %}",
    "{{ messages | map('nofilter') }}",
    "{{ messages | tojson(9) }}" * 3 + "{{ 3 + 'x' }}",
    "{% for m in messages %}{{ m.content.format_map }}{% endfor %}{{ [][1] }}",
]


def tokenizer_with(template):
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = template
    return tokenizer


@pytest.mark.parametrize("template", ENDLESS)
def test_a_template_that_does_not_end_is_stopped(template, monkeypatch):
    monkeypatch.setattr(untrusted, "SECONDS", 0.3)
    start = time.monotonic()
    with pytest.raises(UserError, match="does not end within 0.3 seconds"):
        prompt_text(tokenizer_with(template), "hi")
    assert time.monotonic() - start < 10


@pytest.mark.parametrize("template", FAILING)
def test_a_template_that_fails_is_one_sentence(template):
    try:
        text = prompt_text(tokenizer_with(template), "hi")
    except UserError as error:
        assert len(str(error).splitlines()) == 1 and len(str(error)) < 500 and "\x1b" not in str(error)
    else:
        assert len(text) < untrusted.LONGEST  # harmless: the sandbox gave nothing away
        assert "class" not in text


def test_a_template_that_makes_a_flood_is_refused(monkeypatch):
    monkeypatch.setattr(untrusted, "LONGEST", 1000)
    with pytest.raises(UserError, match="makes .* characters of 2"):
        prompt_text(tokenizer_with("{{ 'x' * 5000 }}"), "hi")


def turns_until(end):
    """How often a loop goes round until `end`: a late exception would end it."""
    turns = 0
    while time.monotonic() < end:
        turns += 1
    return turns


def test_the_limit_leaves_nothing_behind():
    """No thread is left, and no exception comes late: a loop that would be its target runs to its end."""
    before, passed = threading.active_count(), 0
    for _ in range(50):
        with untrusted.time_limit(0.5):
            passed += 1
    assert passed == 50 and threading.active_count() <= before + 1  # one thread looks after all limits
    assert turns_until(time.monotonic() + 1.5)
    assert threading.active_count() <= before and not untrusted._WATCH.ends


def test_many_rows_cost_no_thread_each(monkeypatch):
    started, start = [], threading.Thread.start
    monkeypatch.setattr(threading.Thread, "start", lambda thread: (started.append(thread), start(thread)))
    rows = [Record(f"question {i}", ("yes", "no"), (False, True), 0, 0, i) for i in range(100)]
    assert len(tokenize_pairs(rows, tiny_tokenizer()).items) == 100  # three turns a row
    assert len(started) < 10


def test_a_limit_within_a_limit_ends_first_and_each_in_its_own_thread():
    ended = []

    def endless(name, seconds):
        start = time.monotonic()
        try:
            with untrusted.time_limit(seconds):
                while True:
                    pass
        except untrusted._TooLong:
            ended.append((name, time.monotonic() - start))

    other = threading.Thread(target=endless, args=("other", 0.6))
    with untrusted.time_limit(60):
        other.start()
        endless("inner", 0.2)
        assert turns_until(time.monotonic() + 0.3)  # the outer limit goes on, and does not stop this
    other.join(30)
    assert [name for name, _ in ended] == ["inner", "other"]
    assert 0.2 <= ended[0][1] < 5 and 0.6 <= ended[1][1] < 5


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_has_its_limits_too():
    def stopped() -> None:
        try:
            with untrusted.time_limit(0.1):
                turns_until(time.monotonic() + 30)
        except untrusted._TooLong:
            os._exit(7)
        os._exit(1)

    with untrusted.time_limit(10):  # the thread that looks runs here, and is not in the child
        for _ in range(3):
            if (child := os.fork()) == 0:
                stopped()
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


def test_ctrl_c_while_the_limit_begins_leaves_nothing_behind(monkeypatch):
    """Else its exception comes seconds later, into whatever runs then."""
    monkeypatch.setattr(untrusted, "_WATCH", untrusted._Watch())
    start = threading.Thread.start

    def interrupted(thread):
        start(thread)
        raise KeyboardInterrupt

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    with pytest.raises(KeyboardInterrupt), untrusted.time_limit(0.1):
        pass
    assert turns_until(time.monotonic() + 0.3)
    assert not untrusted._WATCH.ends


@pytest.mark.skipif(sys.platform != "linux", reason="the memory limit is Linux's")
def test_two_threads_leave_no_memory_limit_behind():
    """Without turns the second thread takes the first one's limit for the process's own, and puts it back for good."""
    import resource

    before, inside, leave = resource.getrlimit(resource.RLIMIT_AS), threading.Event(), threading.Event()

    def first():
        with untrusted.memory_limit(2**31):
            inside.set()
            leave.wait(10)

    def second():
        inside.wait(10)
        with untrusted.memory_limit(2**31):
            time.sleep(0.2)

    threads = [threading.Thread(target=one) for one in (first, second)]
    for one in threads:
        one.start()
    inside.wait(10)
    time.sleep(0.1)  # the second one has come as far as it may
    leave.set()
    for one in threads:
        one.join(10)
    assert resource.getrlimit(resource.RLIMIT_AS) == before


@pytest.mark.parametrize("token", tiny_tokenizer().all_special_tokens)
def test_a_prompt_that_spells_a_special_token_is_counted_and_refused(token):
    tokenizer = tiny_tokenizer()
    for prompt, response in ((f"so {token} so", "yes"), ("so", f"yes {token} no")):
        with pytest.raises(RowError, match="contains the .* token"):
            tokenize_response(tokenizer, prompt, response, max_length=100)
    with pytest.raises(UserError, match="contains the special token"):
        prompt_token_ids(tokenizer, f"so {token} so")
    rows = [Record(f"{i}{token if i == 1 else ''}", ("yes", "no"), (False, True), 0, 0, i) for i in range(3)]
    done = tokenize_pairs(rows, tokenizer)
    assert (len(done.items), len(done.refused), done.refused[0][0]) == (2, 1, 1)
