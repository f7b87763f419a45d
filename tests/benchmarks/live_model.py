"""The live page in headless Chromium on one thread: files, loading, first token, tokens a second, the slider, memory.

    python -m tests.benchmarks.live_model [FOLDER]     FOLDER: an assembled page; made anew where it is left out

Times are medians over five requests, by the clock and by the processor time of the page (on a busy machine the latter is
the one to read). Memory is the resident set of the page's process, 20 s after loading and after the answers; nothing asks
for a garbage collection.
"""

import os
import statistics
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import psutil

from tests.browser.chromium import chromium
from tests.browser.live_page import live_page, whole_page
from tests.browser.test_live_model import prompts

REST = 20  # seconds


def renderers() -> list[psutil.Process]:
    """The browser's processes that run pages; but for the page's own they are idle."""
    return [one for one in psutil.Process().children(recursive=True) if "--type=renderer" in one.cmdline()]


def processor_time() -> float:
    """Seconds that the page has computed so far."""
    return sum(sum(one.cpu_times()[:2]) for one in renderers())


def resident() -> int:
    """Bytes of memory of the page's process."""
    return max(one.memory_info().rss for one in renderers())


@contextmanager
def timed(name: str, found: dict[str, list]):
    """Seconds by the clock and of the page's processor time, added to `found`."""
    start, before = time.perf_counter(), processor_time()
    yield
    found.setdefault(name, []).append((time.perf_counter() - start, processor_time() - before))


def measure(folder: Path) -> None:
    """Print one line for each promise."""
    files = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    found: dict[str, list] = {}
    rates, firsts, counts = [], [], []
    with chromium() as browser, live_page(browser, folder, viewport={"width": 1000, "height": 900}) as shown:
        shown.open()
        with timed("load", found):
            told = shown.load(600)
        shown.page.wait_for_timeout(1000 * REST)
        loaded = resident()
        for prompt in prompts()[:5]:
            shown.move(10)
            shown.ask(prompt)
            shown.wait(600)
            with timed("another answer, its log-ratios", found):
                with timed("slider: its first token", found):
                    shown.page.locator("#delta").press("ArrowLeft")
                    shown.page.locator("#policy-said[aria-busy=true] span:not(:empty)").wait_for(timeout=600_000)
                shown.wait(600)
            counts.append(len(shown.tokens()))
            speed = shown.page.locator("#speed").evaluate("one => ({...one.dataset})")
            rates.append(float(speed["rate"]))
            firsts.append(float(speed["first"]))
        shown.page.wait_for_timeout(1000 * REST)
        rest = resident()
    print(
        f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores, {told['threads']} thread(s) of {told['ready']}"
    )
    print(f"files {files / 1e6:.1f} MB; differs from Python by {float(told['gap']):.1e} nats")
    for name, times in found.items():
        clock, busy = (statistics.median(column) for column in zip(*times, strict=True))
        print(f"{name}: {clock:.2f} s by the clock, {busy:.2f} s of processor time")
    print(f"first token {statistics.median(firsts):.2f} s, {statistics.median(rates):.1f} tokens a second (clock)")
    print(f"those answers have {statistics.median(counts):.0f} tokens")
    print(f"memory at rest: {loaded / 1e9:.2f} GB after loading, {rest / 1e9:.2f} GB after the answers")


if __name__ == "__main__":
    if sys.argv[1:]:
        measure(Path(sys.argv[1]))
    else:
        with whole_page() as assembled:
            measure(assembled)
