"""Encodings of the tasks that a process saw last, so that the same one is not encoded twice."""

import hashlib
from collections import OrderedDict
from collections.abc import Sequence

from ..system import Lock
from .base import Encoded, utf8_bytes


class RememberedTasks:
    """Encodings by the digest of their text, in memory alone; what was asked last stays.

    Args:
        most: bytes of vectors and tokens that it holds at most.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._held: OrderedDict[bytes, Encoded] = OrderedDict()
        self._size = 0
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._held)

    def found(self, texts: Sequence[str]) -> dict[str, Encoded]:
        """Return the encodings of the texts that are held."""
        digests = {text: text_digest(text) for text in texts} if self._held else {}
        found = {}
        with self._lock:
            for text, digest in digests.items():
                if digest in self._held:
                    self._held.move_to_end(digest)
                    found[text] = self._held[digest]
        return found

    def hold(self, encodings: dict[str, Encoded]) -> None:
        """Hold encodings by their texts; those that were asked for longest ago make place."""
        for text, encoding in encodings.items():
            if _size(encoding) > self._most:
                continue  # it would drive out all others
            digest = text_digest(text)
            with self._lock:
                if digest not in self._held:  # another thread may have been faster
                    self._held[digest] = encoding
                    self._size += _size(encoding)
                while self._size > self._most and self._held:
                    _, gone = self._held.popitem(last=False)
                    self._size -= _size(gone)

    def limit(self, most: int) -> int:
        """Hold at most so many bytes from now on, none of them from before; return the old limit.

        A fit or a measurement starts with nothing, and leaves nothing behind.
        """
        with self._lock:
            before, self._most = self._most, most
            self._held.clear()
            self._size = 0
        return before


def text_digest(text: str) -> bytes:
    """Return the SHA-256 of a text."""
    return hashlib.sha256(utf8_bytes(text)).digest()


def _size(encoding: Encoded) -> int:
    return encoding.vector.nbytes + encoding.token_ids.nbytes + encoding.token_vectors.nbytes
