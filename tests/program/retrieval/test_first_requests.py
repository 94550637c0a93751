"""Many threads on a fresh program make each part of its index once."""

import threading
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from small import HashedWords

from task_delegator.delegator import Delegator
from task_delegator.retrieval import linear_head as head
from task_delegator.retrieval.build_once import BuildOnce
from task_delegator.retrieval.index import Index


@pytest.fixture
def made(monkeypatch, tmp_path):
    """Count heads that are fitted and indexes that are built; nothing was kept before."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    counts = {"heads": 0, "indexes": 0}
    fit, over = head._fit_softmax, Index.over

    def counted_fit(*given):
        counts["heads"] += 1
        return fit(*given)

    def counted_index(members):
        counts["indexes"] += 1
        return over(members)

    monkeypatch.setattr(head, "_fit_softmax", counted_fit)
    monkeypatch.setattr(Index, "over", counted_index)
    return counts


@pytest.mark.parametrize("threads", [8, 64])
def test_the_first_requests_fit_one_head(office, made, threads):
    program = Delegator(office, HashedWords())
    together = Barrier(threads)

    def ask(number):
        together.wait()
        return program(f"refund order {number}").agent

    with ThreadPoolExecutor(threads) as pool:
        assert len(list(pool.map(ask, range(threads)))) == threads
    assert made == {"heads": 1, "indexes": 1}


def test_an_index_holds_a_few_settings(office, made):
    index = Index(office, HashedWords())
    vector = index.read("refund").encoded.vector
    scores = [(index.bm25("refund", k1, 0.5), index.head(vector, k1)) for k1 in range(1, 21)]
    assert len(index._heads) == 4
    again = index.bm25("refund", 1, 0.5), index.head(vector, 1)
    for before, now in zip(scores[0], again, strict=True):
        assert before.tolist() == pytest.approx(now.tolist(), nan_ok=True)


def test_what_was_asked_for_last_is_held():
    asked = []
    value = BuildOnce(lambda key: asked.append(key) or f"{key}!", most=2)
    assert [value(key) for key in (1, 2, 1, 3, 1, 2)] == ["1!", "2!", "1!", "3!", "1!", "2!"]
    assert asked == [1, 2, 3, 2]


def test_nobody_waits_for_what_another_asks_for():
    begun, may_end = threading.Event(), threading.Event()

    def make(key):
        if key == "slow":
            begun.set()
            assert may_end.wait(10)
        return key

    value = BuildOnce(make, most=3)
    value("known")
    with ThreadPoolExecutor(2) as threads:
        twice = [threads.submit(value, "slow") for _ in range(2)]
        assert begun.wait(10)
        assert (value("known"), value("new")) == ("known", "new")
        assert list(value.held()) == ["known", "new"]
        may_end.set()
        assert [one.result() for one in twice] == ["slow", "slow"]


def test_what_failed_is_made_again():
    answers = iter([ZeroDivisionError, 7])

    def make(key):
        answer = next(answers)
        if answer is ZeroDivisionError:
            raise answer
        return answer

    value = BuildOnce(make, most=1)
    with pytest.raises(ZeroDivisionError):
        value(0)
    assert value(0) == 7
