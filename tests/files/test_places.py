"""The shipped folders are found in a clone and in an installed wheel, and their absence is said."""

import pytest

from safedpo import UserError
from safedpo.files import places


def test_the_wheels_own_folder_comes_first(tmp_path, monkeypatch):
    package = tmp_path / "site-packages" / "safedpo"
    package.mkdir(parents=True)
    monkeypatch.setattr(places, "PACKAGE", package)
    with pytest.raises(UserError, match="data/ was found neither in"):
        places.shipped("data")
    (package.parent / "data").mkdir()
    assert places.shipped("data") == package.parent / "data"
    (package / "_data").mkdir()
    assert places.shipped("data") == package / "_data"
