import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from task_delegator.system import beside


def test_the_other_is_done_by_another_thread_while_the_first_waits():
    done = threading.Event()

    def other():
        done.set()
        return threading.get_ident()

    waited, ident = beside(lambda: done.wait(10), other)
    assert waited
    assert ident != threading.get_ident()


def test_what_has_not_begun_is_done_by_who_asked():
    held, going = threading.Event(), threading.Event()

    def block():
        going.set()
        held.wait(10)

    with ThreadPoolExecutor(1) as pool:
        blocking = pool.submit(beside, going.wait, block)
        assert going.wait(10)
        found = beside(lambda: 1, threading.get_ident)
        held.set()
        blocking.result()
    assert found == (1, threading.get_ident())


@pytest.mark.parametrize("fails", [0, 1])
def test_either_error_is_raised(fails):
    calls = [lambda: 1, lambda: 1]
    calls[fails] = lambda: [][0]
    with pytest.raises(IndexError):
        beside(*calls)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks")
def test_a_forked_child_has_a_thread_of_its_own():
    beside(lambda: 1, lambda: 2)
    child = os.fork()
    if child == 0:
        done = threading.Event()
        os._exit(not beside(lambda: done.wait(10), done.set)[0])
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
