"""What a caller may use, as a set."""

from collections.abc import Collection


def permission_set(permissions: Collection[str] | None) -> frozenset[str] | None:
    """Return what a caller may use as a set; None for a caller without limits.

    Raises:
        TypeError: it is one text, whose letters would be taken for permissions.
    """
    if isinstance(permissions, str | bytes):
        raise TypeError(f"permissions must be a collection of texts, not {permissions!r:.80}")
    return None if permissions is None else frozenset(permissions)
