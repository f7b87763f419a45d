"""The inference engine of the live page: onnxruntime-web (MIT), one npm package, checked by its sha512.

The package is fetched with `npm`, which knows the user's own mirrors and proxies; nothing of it is installed or run here. The
two WebAssembly files are packed with gzip, which makes a quarter of them; the page unpacks them.
"""

import base64
import gzip
import hashlib
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import IO

from safedpo.errors import UserError
from safedpo.lm.models.download import cache_dir, made_whole

VERSION = "1.30.0"
PACKAGE = f"onnxruntime-web@{VERSION}"
TARBALL = f"onnxruntime-web-{VERSION}.tgz"
SHA512 = "q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="  # of the tarball
PLAIN = (
    "ort.wasm.min.mjs",
    "ort-wasm-simd-threaded.mjs",
    "ort.webgpu.min.mjs",
    "ort-wasm-simd-threaded.asyncify.mjs",
)
PACKED = {"engine-wasm": "ort-wasm-simd-threaded.wasm", "engine-webgpu": "ort-wasm-simd-threaded.asyncify.wasm"}
NEEDS_BYTES = 200_000_000  # tarball and files while they are made


def packed_name(file: str) -> str:
    """The name of a packed file: not `.gz`, which some servers unpack on the way.

    >>> packed_name("a.wasm")
    'a.wasm.packed'
    """
    return f"{file}.packed"


def engine_folder() -> Path:
    """The folder of the engine's files, made once in the cache. A tarball lying in `cache_dir()` is used first.

    Raises UserError when it cannot be fetched, or is not the expected one.
    """
    folder = cache_dir() / f"onnxruntime-web-{VERSION}"
    if not folder.is_dir():
        with made_whole(folder, needs_bytes=NEEDS_BYTES) as unfinished:
            local = cache_dir() / TARBALL
            tarball = local if local.exists() else _download(unfinished)
            _check(tarball)
            with tarfile.open(tarball) as archive:
                for name in PLAIN:
                    with (unfinished / name).open("wb") as file:
                        shutil.copyfileobj(_member(archive, name), file)
                for name in PACKED.values():
                    content = _member(archive, name).read()
                    (unfinished / packed_name(name)).write_bytes(gzip.compress(content, 9, mtime=0))
            if tarball != local:
                tarball.unlink()
    return folder


def _member(archive: tarfile.TarFile, name: str) -> IO[bytes]:
    found = archive.extractfile(f"package/dist/{name}")  # KeyError cannot be: the sha512 is that of a package with them
    if found is None:
        raise UserError(f"{TARBALL} holds no file {name}; remove it from {cache_dir()} and try again")
    return found


def _check(tarball: Path) -> None:
    with tarball.open("rb") as file:
        found = base64.b64encode(hashlib.file_digest(file, "sha512").digest()).decode()
    if found != SHA512:
        raise UserError(
            f"{tarball.name} is damaged or not the expected one: its sha512 should be {SHA512}, found {found}; "
            f"remove {tarball} and try again"
        )


def _download(folder: Path) -> Path:
    way_out = f"without npm or network, copy {TARBALL} from another machine into {cache_dir()}"
    npm = shutil.which("npm")
    if npm is None:
        raise UserError(
            f"the live page's engine {PACKAGE} comes from npm, which is not installed; install it, or, {way_out}"
        )
    command = [npm, "pack", PACKAGE, "--ignore-scripts", "--pack-destination", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder)
    tarball = folder / TARBALL
    if done.returncode or not tarball.exists():
        said = [line for line in done.stderr.splitlines() if "error" in line.lower()] or ["npm said nothing"]
        raise UserError(
            f"the live page's engine could not be downloaded: `npm pack {PACKAGE}` said: {said[0]}; {way_out}"
        )
    return tarball
