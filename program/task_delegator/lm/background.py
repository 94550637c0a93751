"""Run an LM call so that it can be given up: on a loop of its own, or in a thread.

A socket that is read in the caller's thread cannot be given up: its time-out starts anew with
each byte. A coroutine can: DSPy's native engine and LiteLLM close the connection of a call that
is cancelled. So a synchronous caller's call runs on one event loop in a daemon thread of this
process, where any number of calls may hang at once without holding one another or a thread.

What has no asynchronous form runs in a daemon thread of its own, which is abandoned at the
deadline and counted until it ends.
"""

import asyncio
import atexit
import contextlib
import contextvars
import os
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any, TypeVar

from .faults import LMOverloadedError, LMTimeoutError

_T = TypeVar("_T")

_GRACE_SECONDS = 1.0  # for a call to be taken down; then it is left to itself
_MOST_HELPERS = 64  # threads, made as they are needed
_MOST_ABANDONED = 32  # threads: each holds a connection and some 50 kB


class _Background:
    """The event loop of this process's LM calls, and the threads that were abandoned."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.loop: asyncio.AbstractEventLoop | None = None
        self.thread: threading.Thread | None = None
        self.abandoned = 0

    def running(self) -> asyncio.AbstractEventLoop:
        """Return the loop, which runs from the first call on."""
        with self.lock:
            if self.loop is None:
                self.loop = asyncio.new_event_loop()
                # Names are looked up in these threads, which a dead name server holds for long.
                self.loop.set_default_executor(ThreadPoolExecutor(_MOST_HELPERS))
                self.thread = threading.Thread(
                    target=self.loop.run_forever, name="task-delegator-lm", daemon=True
                )
                self.thread.start()
            return self.loop

    def stop(self) -> None:
        """Stop the loop; calls and connections that are open are given up."""
        with self.lock:
            if self.loop is not None and self.thread is not None:
                ending = asyncio.run_coroutine_threadsafe(_cancel_all(), self.loop)
                with contextlib.suppress(FutureTimeoutError):  # then they are left
                    ending.result(_GRACE_SECONDS)
                self.loop.call_soon_threadsafe(self.loop.stop)
                self.thread.join(_GRACE_SECONDS)
                if not self.thread.is_alive():  # else a callback of a user's blocks it
                    self.loop.close()
                self.loop = self.thread = None


async def _cancel_all() -> None:
    """Cancel every other task of this loop, and wait until they have ended."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


_background = _Background()


@atexit.register
def _stop() -> None:
    _background.stop()


def _forked() -> None:
    """Leave the loop, whose thread is not in a forked process, to the parent."""
    global _background
    _background = _Background()


if hasattr(os, "register_at_fork"):  # not where processes are not forked
    os.register_at_fork(after_in_child=_forked)


def wait_for(call: Coroutine[Any, Any, _T], seconds: float) -> _T:
    """Run a coroutine on the loop in the background and wait, as a synchronous caller.

    The coroutine sees the caller's context variables, and is cancelled when the caller is
    interrupted.

    Args:
        call: it keeps to the deadline itself; this is for what blocks the whole loop.
        seconds: to wait for it; infinity for ever.

    Raises:
        LMTimeoutError: the loop did not come to it in time.
    """
    future = asyncio.run_coroutine_threadsafe(call, _background.running())
    try:
        return future.result(min(seconds + _GRACE_SECONDS, threading.TIMEOUT_MAX))
    except FutureTimeoutError:
        if future.done():
            raise  # the call's own
        raise LMTimeoutError(f"it took longer than {seconds:.1f} s") from None
    except CancelledError:
        raise LMTimeoutError("the call was cancelled") from None
    finally:
        future.cancel()


def is_background() -> bool:
    """Tell whether this is the thread of the loop in the background."""
    return threading.current_thread() is _background.thread


def abandoned() -> int:
    """Return how many threads were given up and still run."""
    return _background.abandoned


async def in_thread(function: Callable[[], _T]) -> _T:
    """Run a blocking function in a daemon thread of its own, abandoned where this is cancelled.

    Raises:
        LMOverloadedError: too many abandoned threads still run.
    """
    state = _background
    if state.abandoned >= _MOST_ABANDONED:
        raise LMOverloadedError(f"{state.abandoned} calls before this one still hang")
    loop, done = asyncio.get_running_loop(), asyncio.Event()
    outcome: list[Callable[[], _T]] = []
    given_up = threading.Event()
    context = contextvars.copy_context()

    def work() -> None:
        try:
            result = context.run(function)
            outcome.append(lambda: result)
        except BaseException as error:  # raised by who waits
            outcome.append(_raising(error))
        with state.lock:
            if given_up.is_set():
                state.abandoned -= 1
                return
            loop.call_soon_threadsafe(done.set)

    threading.Thread(target=work, name="task-delegator-lm-call", daemon=True).start()
    try:
        await done.wait()
    except BaseException:
        with state.lock:
            if not outcome:
                given_up.set()
                state.abandoned += 1
        raise
    return outcome[0]()


def _raising(error: BaseException) -> Callable[[], Any]:
    def again() -> Any:
        raise error

    return again
