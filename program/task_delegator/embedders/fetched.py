"""An embedder whose files ``task-delegator fetch`` put into the user's cache."""

from collections.abc import Mapping
from pathlib import Path

from ..errors import InputError
from ..system import cache_folder, sha256_file


def fetched_files(embedder: str, sha256: Mapping[str, str]) -> list[Path]:
    """Return the paths of an embedder's files.

    Args:
        embedder: its spec.
        sha256: of each file, by its name.

    Raises:
        InputError: a file is missing or damaged, or the cache cannot be read.
    """
    return [_checked(embedder, name, expected) for name, expected in sha256.items()]


def _checked(embedder: str, name: str, sha256: str) -> Path:
    command = f"run task-delegator fetch {embedder}"
    try:
        path = cache_folder() / name
        if not path.is_file():
            raise InputError(f"embedder {embedder}: not fetched; {command}")
        if sha256_file(path) != sha256:
            raise InputError(f"embedder {embedder}: {path}: damaged (sha256 differs); {command}")
    except (OSError, RuntimeError) as error:
        raise InputError(f"embedder {embedder}: the cache cannot be read: {error}") from error
    return path
