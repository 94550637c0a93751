"""Standard output and error, which take any text."""

import io
import sys


def accept_any_text() -> None:
    """Let standard output and error escape what their encoding lacks, instead of raising.

    Names need not be ASCII, and a terminal's encoding may be.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
