"""The Git commit of this checkout, for manifests, reports and tags."""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

_CHECKOUT = Path(__file__).resolve().parents[1]


def commit(apart_from: Sequence[str] = ()) -> str:
    """Return this checkout's commit, with ``+`` where the tree is not clean.

    The caller's directory and Git's environment variables do not matter. The commit is
    'unknown' where this file is not part of a checkout, or Git is not installed.

    Args:
        apart_from: path patterns, relative to the checkout, whose changes do not count.
    """
    without = [f":(exclude){pattern}" for pattern in apart_from]
    try:
        if Path(_git("rev-parse", "--show-toplevel")).resolve() != _CHECKOUT:
            return "unknown"  # a copy inside another repository
        head = _git("rev-parse", "--short=12", "HEAD")
        return head + ("+" if _git("status", "--porcelain", "--", ".", *without) else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _git(*arguments: str) -> str:
    """Return what Git prints about this checkout."""
    # Hooks set GIT_DIR and the like, which outweigh the directory.
    environment = {name: v for name, v in os.environ.items() if not name.startswith("GIT_")}
    return subprocess.run(
        ["git", *arguments],
        cwd=_CHECKOUT,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
