import pytest

from safedpo.show.pages.playground import playground_page
from tests.browser.chromium import chromium
from tests.browser.playground.driver import opened


@pytest.fixture(scope="module")
def browser():
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    written = tmp_path_factory.mktemp("playground") / "playground.html"
    written.write_text(playground_page(), encoding="utf-8")
    return written


@pytest.fixture
def playground(browser, path):
    with opened(browser, path) as one:
        yield one.open()
