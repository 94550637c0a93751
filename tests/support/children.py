"""Forked children that run one function, and end."""

import os
import signal
import sys
import traceback
from collections.abc import Callable

SECONDS = 60  # a child that waits is ended


def start_child(work: Callable[[], object]) -> int:
    """Return the process id of a child that runs a function."""
    child = os.fork()
    if child:
        return child
    signal.alarm(SECONDS)
    code = 1
    try:
        work()
        code = 0
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(code)


def end_of(child: int) -> int:
    """Wait for a child; return its exit code, that of a signal below zero."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def in_child(work: Callable[[], object]) -> int:
    """Return how a child ends that runs a function."""
    return end_of(start_child(work))
