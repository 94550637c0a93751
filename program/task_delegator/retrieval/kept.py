"""Arrays of an index in the user's cache: one file, mapped at the next start instead of read.

Its name is a digest of the agents' texts, so that a registry that changed finds none and builds
its index. Vectors and numbers are stored as they are. What spells a text is sealed with another
digest of the same texts: who has the texts can open it, and nobody else.
"""

import hashlib
import json
import logging
import os
import stat
import zlib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DelegatorError
from ..system import cache_folder, private_cache_folder, replacing
from ..text import shown_safely

_log = logging.getLogger(__name__)
_FORMAT = "task-delegator index 2"  # with another number, what was kept is built again
_ALIGNED = 64  # bytes between the beginnings of arrays
_MOST_FILES, _MOST_BYTES = 3, 2**30  # those that were not asked for longest go
_HEAD = 8  # bytes that say how long the description is
# What numpy and the description raise where a file is damaged, beside what the system raises.
_DAMAGED = (ValueError, TypeError, AttributeError, LookupError, ArithmeticError)
Pieces = Sequence[np.ndarray]  # an array, cut along its first dimension


@dataclass(frozen=True, slots=True)
class KeptArrays:
    """The file of one list of texts.

    Attributes:
        name: of the file.
        key: that what spells a text is sealed with.
    """

    name: str
    key: bytes

    @classmethod
    def of(cls, made_by: str, texts: Iterable[str]) -> "KeptArrays":
        """Return the file of texts that are encoded and cut by something of a given version."""
        digest = hashlib.sha256(f"{_FORMAT}\0{made_by}\0".encode())
        for text in texts:
            content = text.encode("utf-8", "surrogatepass")
            digest.update(b"%d:" % len(content) + content)
        # Neither can be told from the other.
        name = hashlib.sha256(b"name" + digest.digest()).hexdigest()[:32]
        return cls(f"index-{name}.arrays", hashlib.sha256(b"key" + digest.digest()).digest())

    def is_there(self) -> bool:
        """Tell whether there is such a file; nobody knows whether it is whole."""
        try:
            return (cache_folder() / self.name).is_file()
        except (OSError, RuntimeError):
            return False

    def read(self) -> dict[str, np.ndarray] | None:
        """Return the arrays, mapped; None where there are none that can be used."""
        try:
            path = cache_folder() / self.name
            if not path.is_file():
                return None
            _require_own(path)
            arrays = self._mapped(path)
            with suppress(OSError):  # it may be read alone, as in an image
                os.utime(path)
        except (OSError, RuntimeError, *_DAMAGED) as error:
            self._tell("built anew", error)
            with suppress(OSError, RuntimeError):
                (cache_folder() / self.name).unlink(missing_ok=True)
            return None
        return arrays

    def write(self, arrays: Mapping[str, Pieces], spelling: Mapping[str, np.ndarray]) -> None:
        """Keep arrays in one step; where that is not possible, a warning says so.

        Args:
            arrays: by name; vectors and numbers that spell nothing.
            spelling: further ones, which are sealed.
        """
        try:
            path = private_cache_folder() / self.name
            sealed = {name: (self._sealed(name, held),) for name, held in spelling.items()}
            with replacing(path) as partial:
                partial.chmod(0o600)
                _write(partial, self.name, {**arrays, **sealed})
            _make_room(path)
        except (DelegatorError, OSError, RuntimeError) as error:
            self._tell("not kept", error)

    def opened(self, arrays: Mapping[str, np.ndarray], name: str) -> np.ndarray:
        """Return an array that spells a text, as it was given."""
        return self._sealed(name, arrays[name])

    def _sealed(self, name: str, held: np.ndarray) -> np.ndarray:
        content = np.ascontiguousarray(held).view(np.uint8)
        pad = hashlib.shake_256(self.key + name.encode()).digest(content.nbytes)
        return (content ^ np.frombuffer(pad, dtype=np.uint8)).view(held.dtype)

    def _mapped(self, path: Path) -> dict[str, np.ndarray]:
        """Return the arrays of a file.

        Raises:
            ValueError: it is damaged, or is another registry's.
            TypeError, AttributeError, LookupError, ArithmeticError: it is damaged.
        """
        content = np.memmap(path, dtype=np.uint8, mode="r")
        length = int(content[:_HEAD].view(np.uint64)[0])
        described: dict[str, Any] = json.loads(content[_HEAD : _HEAD + length].tobytes())
        if described["name"] != self.name:
            raise ValueError("it is that of other agents")
        data = content[described["begins"] :]
        if len(data) != described["size"] or zlib.crc32(data.data) != described["checksum"]:
            raise ValueError("it is damaged")
        arrays = {}
        for name, (kind, shape, start) in described["arrays"].items():
            size = int(np.prod(shape)) * np.dtype(kind).itemsize
            arrays[name] = np.asarray(data[start : start + size]).view(kind).reshape(shape)
        return arrays

    def _tell(self, what: str, error: Exception) -> None:
        said = shown_safely(str(error), 300)
        _log.warning("cache %s: %s: %s", self.name, what, said)


def _require_own(path: Path) -> None:
    """Check that nobody else can have written a file.

    Raises:
        ValueError: it is another user's, or others may write it.
    """
    found = path.stat()
    if hasattr(os, "getuid") and (
        found.st_uid not in (0, os.getuid()) or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    ):
        raise ValueError("others may have written it")


def _write(path: Path, own_name: str, arrays: Mapping[str, Pieces]) -> None:
    """Write arrays, one behind the other, after what describes them."""
    described: dict[str, tuple[str, list[int], int]] = {}
    size, checksum = 0, 0
    for name, pieces in arrays.items():
        shape = [sum(len(piece) for piece in pieces), *pieces[0].shape[1:]]
        described[name] = pieces[0].dtype.str, shape, size
        for content in _aligned(pieces):
            size, checksum = size + len(content), zlib.crc32(content, checksum)
    said: dict[str, Any] = {
        "name": own_name,
        "arrays": described,
        "size": size,
        "checksum": checksum,
    }
    length = len(json.dumps(said)) + 32
    begins = -(-(_HEAD + length) // _ALIGNED) * _ALIGNED
    text = json.dumps({**said, "begins": begins}).ljust(begins - _HEAD)
    with path.open("wb") as file:
        file.write(np.uint64(len(text)).tobytes() + text.encode())
        for pieces in arrays.values():
            for content in _aligned(pieces):
                file.write(content)


def _aligned(pieces: Pieces) -> Iterable[memoryview | bytes]:
    """Yield the bytes of an array, and those up to the beginning of the next."""
    size = 0
    for piece in pieces:
        content = np.ascontiguousarray(piece).reshape(-1).view(np.uint8).data
        size += len(content)
        yield content
    yield bytes(-size % _ALIGNED)


def _make_room(newest: Path) -> None:
    """Delete the files that were not asked for longest; never the newest."""
    others = [path for path in newest.parent.glob("index-*.arrays") if path != newest]
    kept, size = 1, newest.stat().st_size
    for path in sorted(others, key=lambda other: other.stat().st_mtime, reverse=True):
        kept, size = kept + 1, size + path.stat().st_size
        if kept > _MOST_FILES or size > _MOST_BYTES:
            path.unlink(missing_ok=True)
