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


def killed_before(step: int, work: Callable[[], object]) -> bool:
    """Run a function in a child that is killed before its step-th call of the system.

    Returns:
        Whether the child was killed; else it ended before.
    """

    def run() -> None:
        left = iter(range(step))

        def kill(event: str, _: object) -> None:
            steps = event.startswith(("os.", "shutil.", "ctypes.", "fcntl.")) or event == "open"
            if steps and event != "os.kill" and (next(left, None) is None):
                os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(kill)
        work()

    end = in_child(run)
    assert end in (0, -signal.SIGKILL)
    return end != 0


def on_a_full_disk(free: int, work: Callable[[], object]) -> int:
    """Return how a child ends whose files cannot grow beyond so many bytes."""

    def run() -> None:
        import resource  # POSIX alone

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (free, free))
        work()

    return in_child(run)
