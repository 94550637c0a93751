"""Optional dependencies: one line that names the extra, where a package is missing."""

from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import InputError


@contextmanager
def needed(extra: str) -> Iterator[None]:
    """Import within this what an extra brings.

    Raises:
        InputError: a package is missing.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise InputError(
            f"the package {error.name!r} is missing: install 'task-delegator[{extra}]'"
        ) from error
