"""One process at a time holds a file, and a forked child waits for no thread of its parent."""

import os
import pickle
import signal
from copy import deepcopy
from threading import Event, Thread

import pytest

from task_delegator.errors import InputError
from task_delegator.system import Lock, locks
from task_delegator.system.locks import held

_SECONDS = 20


def test_a_file_that_is_held_is_refused_in_one_line(tmp_path):
    path = tmp_path / "log"
    with held(path), pytest.raises(InputError, match="it is taken"), held(path, "it is taken"):
        pass
    with held(path, "it is taken") as file:
        file.write(b"x")
    assert path.read_bytes() == b"x"


def test_who_waits_for_a_file_that_is_removed_holds_the_one_that_is_there(tmp_path):
    path, waiting, found = tmp_path / "log", Event(), []

    def wait():
        waiting.set()
        with held(path) as file:
            found.append(os.path.samestat(os.fstat(file.fileno()), path.stat()))

    with held(path):
        thread = Thread(target=wait)
        thread.start()
        waiting.wait()
        path.unlink()
    thread.join(_SECONDS)
    assert found == [True]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.fault("kill -9", "a process that holds a lock", holds="The next one gets it.")
def test_a_killed_process_lets_go_and_so_does_one_whose_child_lives(tmp_path):
    path = tmp_path / "log"
    child = os.fork()
    if child == 0:
        with held(path):
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    with held(path, "it is taken"):
        child = os.fork()
        if child == 0:
            signal.pause()
    with held(path, "it is taken"):
        pass
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def test_where_there_are_no_locks_files_are_opened_all_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "fcntl", None)
    with held(tmp_path / "log", "it is taken"), held(tmp_path / "log", "it is taken") as file:
        file.write(b"x")
    assert (tmp_path / "log").read_bytes() == b"x"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_child_finds_open_what_a_thread_of_its_parent_holds():
    lock, taken, done = Lock(), Event(), Event()

    def hold():
        with lock:
            taken.set()
            done.wait()

    thread = Thread(target=hold)
    thread.start()
    taken.wait()
    child = os.fork()
    if child == 0:
        signal.alarm(_SECONDS)  # ends a child that waits
        with lock:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    done.set()
    thread.join()
    assert os.waitstatus_to_exitcode(status) == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_the_thread_that_forks_goes_on_holding_what_it_holds():
    lock = Lock()
    with lock:
        child = os.fork()
    if child == 0:
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_copy_is_a_lock_of_its_own():
    lock = Lock()
    with lock:
        for copy in (deepcopy(lock), pickle.loads(pickle.dumps(lock))):
            thread = Thread(target=copy.__enter__)
            thread.start()
            thread.join(_SECONDS)
            assert not thread.is_alive()
