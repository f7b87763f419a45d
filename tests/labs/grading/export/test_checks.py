"""The check of a cell."""

import pytest

from safedpo.errors import UserError
from safedpo.labs.grading.export.checks import only_check


def test_one_check_none_and_two():
    assert only_check("x = 1\ncheck('a', x + 1)") == ("a", "x + 1") and only_check("x = 1") is None
    with pytest.raises(UserError, match="give each its own"):
        only_check("check('a', a)\ncheck('b', b)")
