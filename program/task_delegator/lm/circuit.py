"""A circuit breaker per LM: one that is dead is not asked by every task anew.

After a time-out, a lost connection or a few failures in a row an LM is left alone for a while.
Then one call is let through (half open); its outcome closes the circuit, or opens it for twice as
long (Nygard, Release It!, 2007). Libraries for this were looked at: pybreaker knows Tornado's
coroutines alone and holds a lock during the call, so that one hung call blocks all others.
"""

import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable

from .faults import Fault, LMPausedError

_FAILURES = 3  # calls in a row, each with its retries
_PAUSE_SECONDS = 30.0
_LONGEST_PAUSE_SECONDS = 300.0
_MOST_CIRCUITS = 256  # addresses and keys of one process; the one used least is forgotten
_AT_ONCE: tuple[Fault, ...] = ("time-out", "unreachable")


class Circuit:
    """Let calls to one LM through, or refuse them while it is paused.

    No lock is held while a call runs.

    Args:
        clock: seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._failures = 0  # in a row
        self._pause = _PAUSE_SECONDS  # the next one
        self._until: float | None = None  # end of the pause; None while the circuit is closed
        self._probing = False
        self._fault: Fault = "other"

    def admit(self, model: str) -> None:
        """Let a call through; while the LM is paused, one at the end of each pause.

        A probe that never comes back holds nobody: another follows a pause later.

        Raises:
            LMPausedError: the LM is paused.
        """
        with self._lock:
            if self._until is None:
                return
            now = self._clock()
            if now < self._until:
                raise LMPausedError(
                    f"not asked for another {self._until - now:.0f} s, as it failed before: "
                    f"{self._fault}",
                    model=model,
                )
            self._until, self._probing = now + self._pause, True

    def succeed(self) -> None:
        """Note a call that was answered."""
        with self._lock:
            self._failures, self._pause = 0, _PAUSE_SECONDS
            self._until, self._probing = None, False

    def fail(self, fault: Fault, *, sure: bool = True, asked: float | None = None) -> None:
        """Note a call that failed, its retries included.

        Args:
            fault: how; after a time-out or a lost connection the LM is paused at once.
            sure: whether the call had the time to succeed.
            asked: seconds for which the LM asked to be left alone.
        """
        with self._lock:
            self._failures += 1
            if self._until is None:
                at_once = (sure and fault in _AT_ONCE) or bool(asked)
                if not at_once and self._failures < _FAILURES:
                    return
            elif self._probing:
                self._pause = min(2 * self._pause, _LONGEST_PAUSE_SECONDS)
            else:
                return  # a call from before the pause
            pause = min(asked, _LONGEST_PAUSE_SECONDS) if asked else self._pause
            self._until, self._probing, self._fault = self._clock() + pause, False, fault


_circuits: OrderedDict[Hashable, Circuit] = OrderedDict()
_lock = threading.Lock()


def circuit(key: Hashable) -> Circuit:
    """Return the circuit of an LM, the same for each call with this key."""
    with _lock:
        found = _circuits.setdefault(key, Circuit())
        _circuits.move_to_end(key)
        while len(_circuits) > _MOST_CIRCUITS:
            _circuits.popitem(last=False)
        return found


def forget_circuits() -> None:
    """Close all circuits: every LM is asked again."""
    global _lock
    _lock = threading.Lock()  # in a forked process nobody is left to release the old one
    _circuits.clear()


if hasattr(os, "register_at_fork"):  # not where processes are not forked
    os.register_at_fork(after_in_child=forget_circuits)
