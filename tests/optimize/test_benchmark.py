"""The benchmark compares like with like, and leaves no process behind."""

import subprocess
from time import sleep

import pytest
from small import HashedWords

from optimize import benchmark
from task_delegator.delegator import Delegator


def test_latency_is_a_ratio_of_what_took_turns(monkeypatch):
    asked = []

    def delegate(text):
        asked.append(("delegation", text))

    def encode(text):
        asked.append(("encoder", text))

    clock = iter([0, 0.03, 1, 1.02, 2, 2.03, 3, 3.02])  # before and after each call, in turn
    monkeypatch.setattr(benchmark, "perf_counter", lambda: next(clock))
    seen = benchmark.latency(delegate, encode, ["a", "b"])
    assert [who for who, _ in asked] == ["delegation", "encoder"] * 2
    assert seen.over_encoder == pytest.approx(1.5)
    assert seen.milliseconds == pytest.approx(30)


def test_tasks_are_timed_by_what_is_read_of_them():
    parts = {"a and b": ("a", "b")}
    found = benchmark.kinds(["c", "a and b", "d"], lambda text: parts.get(text, ()))
    assert found == {"read in one piece": ["c", "d"], "read in parts too": ["a and b"]}
    assert list(benchmark.kinds(["c"], lambda text: ())) == ["read in one piece"]


def test_the_busy_process_ends_with_what_it_disturbs(monkeypatch):
    started = []
    real = subprocess.Popen
    monkeypatch.setattr(
        subprocess, "Popen", lambda *given: started.append(real(*given)) or started[-1]
    )
    with benchmark.busy_process():
        assert started[0].poll() is None
    assert started[0].poll() is not None


def test_throughput_counts_what_was_asked_beside_changes():
    asked, changes = [], []

    def delegate(text):
        sleep(0.05)
        asked.append(text)

    seen = benchmark.tasks_a_second(
        delegate, ["a", "b"], lambda: changes.append(1), seconds=1, threads=8
    )
    assert 0 < seen.clock <= len(asked)  # over a second or somewhat more
    assert seen.processor > seen.clock  # who sleeps takes none
    assert (len(changes), set(asked)) == (1, {"a", "b"})


@pytest.mark.slow
def test_both_turns_ask_the_same_program_and_a_change_adds_no_length(office):
    before = office["Ada"]
    program = Delegator(office, HashedWords(), calibrated_for=frozenset())
    ratio = benchmark.beside_changes(program, ["refund my order"], seconds=2, turns=1, threads=2)
    assert min(ratio.clock, ratio.processor) > 0
    assert office["Ada"].description != before.description
    assert len(office["Ada"].description) == len(f"{before.description}, edition 00000000")
