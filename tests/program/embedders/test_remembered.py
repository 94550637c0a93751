"""What a process remembers of tasks: the last of them, in memory."""

import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from small import HashedWords, small_dataset

from optimize.data import load_dataset
from optimize.evaluation import evaluate
from task_delegator.delegator import Delegator
from task_delegator.embedders import cached as cached_module
from task_delegator.embedders.base import Encoded
from task_delegator.embedders.cache import VectorCache
from task_delegator.embedders.cached import (
    CachedEmbedder,
    forget_tasks,
    forgetting,
    remembering,
)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path


class Counting:
    """An embedder that notes what it is asked."""

    id = "counting"
    languages: frozenset[str] | None = None
    runtime = "1"
    dimensions = None

    def __init__(self) -> None:
        self.asked = []

    def token_ids(self, texts):
        return [encoding.token_ids for encoding in HashedWords().encode(texts)]

    def encode(self, texts):
        self.asked += texts
        return HashedWords().encode(texts)


def same(one: Encoded, other: Encoded) -> bool:
    return all(
        np.array_equal(getattr(one, name), getattr(other, name))
        for name in ("vector", "token_ids", "token_vectors")
    )


def bytes_of(encoding: Encoded) -> int:
    return sum(getattr(encoding, name).nbytes for name in ("vector", "token_ids", "token_vectors"))


def test_a_task_that_is_asked_again_is_not_encoded_again(folder, monkeypatch):
    inner = Counting()
    two = 2 * bytes_of(inner.encode(["a"])[0])
    inner.asked.clear()
    monkeypatch.setattr(cached_module, "_TASKS", two)
    program = CachedEmbedder(inner, VectorCache("e.sqlite"))
    found = [program.encode(["a"]), program.encode(["a"]), program.encode(["b", "a", "b"])]
    assert inner.asked == ["a", "b"]
    assert same(found[0][0], found[2][1])
    program.encode(["a"])
    program.encode(["c"])  # b goes: a was asked later
    program.encode(["a", "c"])
    assert inner.asked == ["a", "b", "c"]
    program.encode(["b"])
    assert inner.asked == ["a", "b", "c", "b"]
    assert len(program._tasks) == 2
    assert not list(folder.iterdir())  # memory alone
    assert len(pickle.loads(pickle.dumps(program))._tasks) == 0


def test_a_task_too_long_to_be_remembered_is_encoded_each_time(monkeypatch):
    monkeypatch.setattr(cached_module, "_TASKS", 1)
    inner = Counting()
    program = CachedEmbedder(inner, VectorCache("e.sqlite"))
    assert same(program.encode(["a"])[0], program.encode(["a"])[0])
    assert inner.asked == ["a", "a"]


def test_fits_remember_more_and_measurements_nothing():
    inner = Counting()
    program = CachedEmbedder(inner, VectorCache("e.sqlite"))
    program.encode(["a"])
    with remembering(program):
        assert program._tasks._most > cached_module._TASKS
        program.encode(["a"])
        program.encode(["a"])
    assert inner.asked == ["a", "a"]
    with forgetting(program):
        program.encode(["a"])
        program.encode(["a"])
    assert inner.asked == ["a"] * 4
    program.encode(["a"])
    program.encode(["a"])
    assert inner.asked == ["a"] * 5
    forget_tasks(program)
    program.encode(["a"])
    assert inner.asked == ["a"] * 6
    with remembering(HashedWords()), forgetting(HashedWords()):
        forget_tasks(HashedWords())  # embedders without a cache are as they were


def test_threads_that_ask_the_same_tasks_get_their_own_vectors(monkeypatch):
    inner = Counting()
    texts = [f"task {number}" for number in range(20)]
    expected = inner.encode(texts)
    monkeypatch.setattr(cached_module, "_TASKS", 5 * bytes_of(expected[0]))
    program = CachedEmbedder(inner, VectorCache("e.sqlite"))

    def ask(first):
        places = [(first + step) % 20 for step in range(200)]
        return all(same(program.encode([texts[p]])[0], expected[p]) for p in places)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, range(0, 16, 2)))
    held = sum(bytes_of(encoding) for encoding in program._tasks._held.values())
    assert held == program._tasks._size <= program._tasks._most


def test_an_evaluation_pays_for_the_encoding_of_each_request(tmp_path):
    dataset = load_dataset(small_dataset(tmp_path / "data"))
    inner = Counting()
    program = Delegator(dataset.registry, CachedEmbedder(inner, VectorCache("e.sqlite")))
    program("a task")  # the index is built
    inner.asked.clear()
    evaluate(program, dataset, "validation", name="compiled")
    first = list(inner.asked)
    evaluate(program, dataset, "validation", name="compiled")
    assert inner.asked == first * 2
