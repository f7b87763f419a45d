"""First paint, and pictures a second while twelve answers train."""

import itertools
import sys

import pytest

from tests.browser.playground.against_python import check_run
from tests.browser.playground.driver import opened
from tests.browser.playground.worlds import WORLDS, link, slow

pytestmark = pytest.mark.browser


@slow
@pytest.mark.alone
def test_sixty_pictures_a_second_while_twelve_answers_train(browser, path):
    """Processor time of the page's own thread for a frame, so that a busy machine does not count."""
    with opened(browser, path) as one:
        one.open(link(WORLDS["twelve"], delta=5, noise=0.1, compare="yes", speed=2, lr=0.1, beta=0.2))
        # The page answers before its first picture is painted and noted.
        noted = one.page.wait_for_function("performance.getEntriesByName('first-contentful-paint')[0]?.startTime")
        paint = noted.json_value()
        session = one.page.context.new_cdp_session(one.page)
        session.send("Performance.enable", {"timeDomain": "threadTicks"})

        def spent():
            found = {m["name"]: m["value"] for m in session.send("Performance.getMetrics")["metrics"]}
            return found["TaskDuration"], found["ScriptDuration"]

        one.page.evaluate(
            "() => { window.times = []; const look = now => { window.times.push(now); requestAnimationFrame(look); };"
            " requestAnimationFrame(look); }"
        )
        one.page.locator("#play").click()
        one.page.wait_for_timeout(1000)  # the page's compiler has seen each line
        one.page.evaluate("window.times = []")
        before = spent()
        one.page.wait_for_timeout(3000)
        after = spent()
        times = one.page.evaluate("window.times")
        one.page.locator("#play").click()
        work, script = (1000 * (now - then) / len(times) for now, then in zip(after, before, strict=True))
        gaps = sorted(b - a for a, b in itertools.pairwise(times))
        print(
            f"first paint {paint:.0f} ms; {1000 / (sum(gaps) / len(gaps)):.1f} frames a second, median gap "
            f"{gaps[len(gaps) // 2]:.1f} ms; {work:.1f} ms of work a frame, {script:.1f} ms of it script",
            file=sys.stderr,
        )
        assert paint < 1000
        assert work < 1000 / 60
        check_run(one)
