import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "show"))

from tests.browser.chromium import chromium  # noqa: E402
from tests.show.gallery import sliders  # noqa: E402, F401


@pytest.fixture(scope="module")
def running():
    """One Chromium for the tests of a file."""
    with chromium() as browser:
        yield browser
