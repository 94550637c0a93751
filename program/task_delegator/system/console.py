"""Standard output and error, which take any text."""

import io
import os
import sys


def accept_any_text() -> None:
    """Let standard output and error escape what their encoding lacks, instead of raising.

    Names need not be ASCII, and a terminal's encoding may be.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def draw_bars_on_terminals_only() -> None:
    """Draw no progress bar where standard error is no terminal: in a file it is a line a second.

    Every bar that leaves it to ``tqdm`` is meant, our own and those of DSPy and MLflow; it reads
    this while it is imported. ``TQDM_DISABLE`` of the environment is left as it is.
    """
    if sys.stderr is None or not sys.stderr.isatty():
        os.environ.setdefault("TQDM_DISABLE", "1")
