"""A body that is too slow; one that is too large is tested with the routes."""

import asyncio
from typing import Any
from unittest.mock import AsyncMock

import pytest
from fastapi import HTTPException
from small import delegator, office_registry

from task_delegator.choice import Choice
from task_delegator.service import Caller, reviews
from task_delegator.service.limits import BodyLimit

HALF = {"type": "http.request", "body": b"{", "more_body": True}
WHOLE = {"type": "http.request", "body": b"{}"}
GONE = {"type": "http.disconnect"}


def read(*sent: tuple[float, dict[str, Any]]) -> list[dict[str, Any]]:
    """Return what an application reads that asks twice, each sent after so many seconds."""
    coming, answers = iter(sent), []

    async def receive():
        seconds, message = next(coming)
        await asyncio.sleep(seconds)
        return message

    async def reads(_scope, receive, _send):
        answers.extend([await receive(), await receive()])

    asyncio.run(BodyLimit(reads, seconds=0.05)({"type": "http"}, receive, AsyncMock()))
    return answers


@pytest.mark.fault("overload", "a body that does not arrive", holds="408 after ten seconds.")
def test_a_body_that_does_not_arrive_is_not_waited_for():
    """A service that is told to stop would wait for it until it is killed."""
    with pytest.raises(HTTPException, match="did not arrive within") as refused:
        read((0, HALF), (60, WHOLE))
    assert refused.value.status_code == 408


def test_a_caller_may_stay_as_long_as_a_task_takes_once_its_body_is_there():
    assert read((0, WHOLE), (0.2, GONE)) == [WHOLE, GONE]


LONG = [f"{number:0100}" for number in range(600)]  # some 90,000 bytes, 120,000 as a set
TASK = "refund my order"


@pytest.mark.parametrize(
    ("wishes", "permissions", "task"),
    [
        ({"history": LONG}, None, TASK),
        ({"exclude": LONG}, None, TASK),
        ({"include": LONG}, None, TASK),
        ({}, frozenset(LONG), TASK),
        ({}, None, " ".join(LONG * 2)),
        ({"exclude": [f"{number}" for number in range(1000)]}, None, TASK),  # each an object
    ],
    ids=["history", "exclude", "include", "permissions", "task", "many short names"],
)
def test_what_is_remembered_has_a_limit_in_bytes_too(monkeypatch, wishes, permissions, task):
    """One caller could fill the memory, with whatever of a request is not counted."""
    monkeypatch.setattr(reviews, "_BYTES", 125_000)
    kept, caller = reviews.Reviews(), Caller("web")
    answer = delegator(office_registry())(TASK).copy(task=task)
    choice = Choice.of(**wishes)
    first = kept.remember(caller, permissions, choice, answer)
    second = kept.remember(caller, permissions, choice, answer)
    assert kept.find(caller, first) is None
    assert kept.find(caller, second) is not None


def test_a_caller_who_fills_the_memory_forgets_none_of_another(monkeypatch, caplog):
    monkeypatch.setattr(reviews, "REMEMBERED", 10)
    kept, few, many = reviews.Reviews(), Caller("few"), Caller("many")
    answer = delegator(office_registry())(TASK).copy(decision="review")
    own = kept.remember(few, None, Choice(), answer)
    others = [kept.remember(many, None, Choice(), answer) for _ in range(30)]
    assert [given.request_id for given in kept.waiting(few)] == [own]
    assert [given.request_id for given in kept.waiting(many)] == others[-9:]
    assert kept.forgotten == 21
    assert len(kept) == 10
    said = [record.getMessage() for record in caplog.records]
    assert said == ["a task that waited for review was forgotten: too many wait"]


def test_a_review_that_is_made_again_counts_as_what_it_is(monkeypatch):
    kept, caller = reviews.Reviews(), Caller("web")
    answer = delegator(office_registry())(TASK)
    one = kept.find(caller, kept.remember(caller, None, Choice(), answer))
    assert one is not None
    renewed = kept.renew(one, answer.copy(reason="x" * 10_000))
    monkeypatch.setattr(reviews, "_BYTES", renewed.size)
    other = kept.remember(caller, None, Choice(), answer)
    assert kept.find(caller, one.request_id) is None
    assert kept.find(caller, other) is not None
