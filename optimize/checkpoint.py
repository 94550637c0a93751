"""Checkpoint: the locked folder with which a stopped command continues.

A checkpoint is a folder that one process at a time works in. It belongs to one identity: the data,
the settings and the code that its contents depend on. What happens to the contents when the
identity changes is the caller's choice, ``start_over`` or ``refuse``.
"""

import hashlib
import json
import logging
import shutil
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import IO, Any

import task_delegator
from optimize.data import Dataset
from task_delegator.errors import InputError
from task_delegator.system import hold, write_text

_IDENTITY, _LOCK = "identity.json", "lock"
_log = logging.getLogger(__name__)


def start_over(folder: Path) -> None:
    """Empty the folder of a checkpoint of another identity, with a warning."""
    _log.warning("%s: begun with other data, settings or code; starting anew", folder)
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != _LOCK:
            path.unlink()


def refuse(folder: Path) -> None:
    """Refuse a checkpoint of another identity.

    Raises:
        InputError: always.
    """
    raise InputError(
        f"{folder}: holds a run with other data, settings or code; remove it or name another --out"
    )


class Checkpoint:
    """A folder of intermediate results, held by one process at a time.

    Args:
        folder: of the results; created if it is missing.
        identity: everything that the results depend on, as JSON; other values as their string.
        on_change: what to do with a folder of another identity: ``start_over`` or ``refuse``.
        out: path of the output; the folder itself by default.
        kind: kind of the output, for messages.

    Raises:
        InputError: another process makes the same output, or the folder cannot be used.
    """

    def __init__(
        self,
        folder: Path,
        identity: Mapping[str, Any],
        *,
        on_change: Callable[[Path], None],
        out: Path | None = None,
        kind: str = "program",
    ) -> None:
        self.folder = folder.absolute()
        self._out = self.folder if out is None else out.absolute()
        if _holds_other_files(self.folder):
            refuse(self.folder)
        text = _canonical(identity)
        self._file = self._lock_folder(kind)
        try:
            if _identity(self.folder) not in (None, text):
                on_change(self.folder)
            write_text(self.folder / _IDENTITY, text)
        except BaseException:
            self._file.close()
            raise

    @property
    def journal(self) -> Path:
        """The path of the search's journal."""
        return self.folder / "search.journal"

    def save(self, name: str, result: Any) -> None:
        """Save the result of a stage, as JSON."""
        write_text(self.folder / f"{name}.json", json.dumps(result) + "\n")

    def load(self, name: str) -> Any:
        """Return the saved result of a stage, None without one."""
        path = self.folder / f"{name}.json"
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None

    def remove(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.folder)

    def __enter__(self) -> "Checkpoint":
        return self

    def __exit__(self, *_: object) -> None:
        """Release the folder; its contents stay."""
        self._file.close()

    def _lock_folder(self, kind: str) -> IO[str]:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            file = (self.folder / _LOCK).open("w", encoding="utf-8")
        except OSError as error:
            raise InputError(
                f"{self._out}: cannot be used: {error.strerror}; name another --out"
            ) from error
        hold(file, f"{self._out}: another process is making this {kind}; name another --out")
        return file


def checkpoint_folder(out: Path) -> Path:
    """Return the folder of the checkpoint of an output, beside that output."""
    return out.absolute().with_name(f"{out.absolute().name}.work")


def matches(folder: Path, identity: Mapping[str, Any]) -> bool:
    """Return whether a folder is a checkpoint of this identity."""
    return _identity(folder) == _canonical(identity)


def identity_of(dataset: Dataset, **settings: Any) -> dict[str, Any]:
    """Return the identity of results on a dataset: its files, the agents, settings and the code."""
    return {
        "data": dataset.digests(),
        "enriched": dataset.enriched,
        "registry": dataset.registry.sha256(),
        "code": code_digest(),
        **settings,
    }


def digest_of(values: Mapping[str, Any]) -> str:
    """Return a digest of JSON values, 16 hexadecimal digits.

    Values that are no JSON count as their string.
    """
    return hashlib.sha256(_canonical(values).encode()).hexdigest()[:16]


@cache
def code_digest() -> str:
    """Return a digest of the sources of ``task_delegator`` and ``optimize``.

    Unlike a commit it also changes with edits that are not committed, and it does not change with
    a commit elsewhere.
    """
    digest = hashlib.sha256()
    for package in (Path(task_delegator.__file__).parent, Path(__file__).parent):
        for path in sorted(package.rglob("*.py")):
            name = path.relative_to(package.parent).as_posix()
            digest.update(f"{name}\0{len(path.read_bytes())}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def _canonical(values: Mapping[str, Any]) -> str:
    return json.dumps(values, indent=1, sort_keys=True, default=str) + "\n"


def _identity(folder: Path) -> str | None:
    path = folder / _IDENTITY
    return path.read_text(encoding="utf-8") if path.is_file() else None


def _holds_other_files(folder: Path) -> bool:
    """Return whether a folder holds files that no checkpoint wrote."""
    if not folder.is_dir() or _identity(folder) is not None:
        return False
    return any(path.name != _LOCK and _IDENTITY not in path.name for path in folder.iterdir())
