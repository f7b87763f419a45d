import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "show"))

from tests.show.gallery import sliders  # noqa: E402, F401
