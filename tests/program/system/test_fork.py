"""A forked child goes on, whatever its parent's threads were doing."""

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import numpy as np
import pytest
from children import end_of, in_child, start_child
from small import HashedWords
from threadpoolctl import threadpool_limits

from task_delegator.delegator import Delegator
from task_delegator.embedders import embedder
from task_delegator.languages import detect
from task_delegator.retrieval.linear_head import fit_head
from task_delegator.system import fork_gate, no_fork

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
CHILDREN = 30


@contextmanager
def held_by_another_thread(lock):
    taken, done = threading.Event(), threading.Event()

    def hold():
        with lock:
            taken.set()
            done.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    taken.wait()
    yield
    done.set()
    thread.join()


def test_a_child_recognises_languages_that_its_parent_was_recognising():
    detect.foreign_language("load the model once", {"en"})

    def recognise():
        found = detect.foreign_language(
            "Bitte erstatten Sie mir den Betrag der letzten Rechnung zurück", {"en"}
        )
        assert found == "de"

    with held_by_another_thread(detect._lock):
        assert in_child(recognise) == 0


@pytest.mark.slow
@pytest.mark.parametrize("embed", [HashedWords, embedder], ids=["words", "default"])
@pytest.mark.fault(
    "fork", "while threads delegate", holds="No child waits for a thread of its parent."
)
def test_no_child_waits_for_threads_of_its_parent_that_delegate(office, embed):
    program, done = Delegator(office, embed(), calibrated_for=frozenset()), threading.Event()
    expected = program("refund my order").top3
    errors = []

    def delegate(number):
        try:
            while not done.is_set():
                program("refund my order", permissions={str(number)})
                office.replace(office["Travel"])  # builds its indexes anew
        except Exception as error:
            errors.append(error)
            raise

    threads = [threading.Thread(target=delegate, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()

    def answer():
        assert program("refund my order").top3 == expected

    try:
        children = []
        for _ in range(CHILDREN):
            children.append(start_child(answer))
            if len(children) == 3:
                assert [end_of(child) for child in children] == [0] * 3
                children.clear()
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert errors == []


@pytest.mark.slow
def test_no_child_waits_for_a_product_on_several_threads_of_its_parent():
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(90, 384)).astype(np.float32)
    owners, done = np.arange(90) % 30, threading.Event()

    def fit():
        fit_head(vectors, owners, 10.0)

    def fit_on():
        while not done.is_set():
            fit()

    threads = [threading.Thread(target=fit_on) for _ in range(2)]
    with threadpool_limits(2, user_api="blas"):
        for thread in threads:
            thread.start()
        try:
            ends = [in_child(fit) for _ in range(8)]
        finally:
            done.set()
            for thread in threads:
                thread.join()
    assert ends == [0] * 8


def test_a_fork_waits_for_other_threads_but_not_for_its_own():
    begun, ended = threading.Event(), threading.Event()

    def compute():
        with no_fork():
            begun.set()
            ended.wait(0.3)
            ended.set()

    thread = threading.Thread(target=compute)
    thread.start()
    begun.wait()
    with no_fork(), no_fork():
        child = os.fork()
        if not child:
            os._exit(0 if ended.is_set() else 1)
    assert end_of(child) == 0
    thread.join()


def test_a_program_of_a_child_serves_many_threads(office):
    program = Delegator(office, embedder())
    program("refund my order")

    def ask():
        threads = [threading.Thread(target=program, args=("book a train",)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        signal.alarm(0)

    assert in_child(ask) == 0


@pytest.mark.fault("fork", "by several threads", holds="They do not wait for each other.")
def test_threads_that_fork_while_they_compute_do_not_wait_for_each_other():
    together, ends = threading.Barrier(4), []

    def fork_within():
        with no_fork():
            together.wait()
            child = os.fork()
            if not child:
                with no_fork():
                    os._exit(0)
            ends.append(end_of(child))

    begun = time.monotonic()
    threads = [threading.Thread(target=fork_within, daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert ends == [0] * 4
    assert time.monotonic() - begun < 10


_FORK_WITHIN = """
import os, threading
from task_delegator.system import no_fork
import task_delegator.delegator  # and all whose handlers take locks at a fork

together, ends = threading.Barrier(4), []

def fork_within():
    with no_fork():
        together.wait()
        child = os.fork()
        if not child:
            os._exit(0)
        ends.append(os.waitpid(child, 0)[1])

threads = [threading.Thread(target=fork_within, daemon=True) for _ in range(4)]
[thread.start() for thread in threads]
[thread.join(3) for thread in threads]
os._exit(0 if ends == [0] * 4 else 1)
"""


def test_the_gate_is_the_first_to_wait_whatever_was_imported_before_it():
    assert subprocess.run([sys.executable, "-c", _FORK_WITHIN], timeout=100).returncode == 0


def test_a_lock_that_comes_while_a_fork_is_under_way_is_held_from_the_next_on(monkeypatch):
    gate, lock = fork_gate._Gate(), threading.Lock()
    monkeypatch.setattr(fork_gate, "_gate", gate)
    gate.shut()
    coming = threading.Thread(target=fork_gate.hold_at_forks, args=(lock,), daemon=True)
    coming.start()
    coming.join(0.1)
    gate.open()
    coming.join(10)
    assert (gate.forking, gate.locks) == (False, [lock])
    gate.shut()
    assert lock.locked()
    gate.open()
    assert not lock.locked()
