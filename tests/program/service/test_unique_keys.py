"""A body in which a key stands twice is refused: a proxy may have read the other one."""

import asyncio
from typing import Any
from unittest.mock import AsyncMock

import pytest
from fastapi import HTTPException
from hypothesis import given
from hypothesis import strategies as st
from small import HashedWords, office_registry
from starlette.testclient import TestClient

from task_delegator.delegator import Delegator
from task_delegator.service import Access, Desk, create_app, create_tools
from task_delegator.service.unique_keys import UniqueKeys

JSON = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
CALL = (
    b'{"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "find_agent", '
    b'"arguments": {"task": "my salary", %s}}}'
)
TWICE = b'"permissions": [], "permissions": null'
ESCAPED = b'"permissions": [], "permission\\u0073": null'


@pytest.fixture(scope="module")
def client():
    desk = Desk(Delegator(office_registry(), HashedWords()))
    app = create_app(desk, Access(), create_tools(desk))
    with TestClient(app, base_url="http://127.0.0.1") as client:
        yield client


@pytest.mark.parametrize(
    ("path", "body", "key"),
    [
        ("/delegate", b'{"task": "my salary", %s}' % TWICE, "permissions"),
        ("/delegate", b'{"task": "my salary", %s}' % ESCAPED, "permissions"),
        ("/plan", b'{"task": "a", "task": "b"}', "task"),
        ("/search", b'{"query": {"text": "a", "text": "b"}}', "text"),
        (
            "/feedback",
            b'{"request_id": "1", "request_id": "2", "correct_agent": null}',
            "request_id",
        ),
        ("/mcp", CALL % TWICE, "permissions"),
        ("/mcp", CALL % (b'"x": ' + b"1" * 5000 + b", " + ESCAPED), "permissions"),
        ("/mcp", b'{"jsonrpc": "2.0", "id": 1, "id": 2, "method": "ping"}', "id"),
    ],
)
@pytest.mark.fault(
    "hostile content", "a body in which a key stands twice", holds="400 with one line."
)
def test_a_key_that_stands_twice_is_refused_by_its_name(client, path, body, key):
    answer = client.post(path, content=body, headers=JSON)
    assert answer.status_code == 400
    said = f"an object has the key {key!r} twice: remove one of them"
    assert answer.json() == {"detail": said}


def test_a_key_is_told_on_one_line_and_cut(client):
    body = b'{"a\\nb%s": 1, "a\\nb%s": 2}' % ((b"x" * 500,) * 2)
    detail = client.post("/delegate", content=body, headers=JSON).json()["detail"]
    assert "\n" not in detail
    assert len(detail) < 160


def test_other_bodies_are_answered_as_they_were(client):
    assert client.post("/delegate", json={"task": "my salary"}).status_code == 200
    once = client.post("/mcp", content=CALL % b'"permissions": []', headers=JSON)
    assert once.json()["result"]["isError"] is False
    broken = client.post("/delegate", content=b'{"task": "a", "task"', headers=JSON)
    assert "broken JSON" in broken.json()["detail"]
    assert client.post("/delegate", content=b"[" * 100_000, headers=JSON).status_code == 400
    assert client.post("/mcp", content=b" " * 300_000, headers=JSON).status_code == 413


def passed(*sent: Any) -> list[Any]:
    """Return what an application reads of these messages, and of what follows."""
    coming, got = iter(sent), []

    async def receive():
        message = next(coming)
        if isinstance(message, Exception):
            raise message
        return message

    async def reads(_scope, receive, _send):
        got.extend([await receive() for _ in sent])

    asyncio.run(UniqueKeys(reads)({"type": "http", "method": "POST"}, receive, AsyncMock()))
    return got


@given(st.lists(st.binary(max_size=9), min_size=1, max_size=4), st.booleans())
def test_what_came_is_handed_on_as_it_came(parts, leaves):
    body = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
    body[-1]["more_body"] = leaves
    sent = [*body, {"type": "http.disconnect"}]
    assert passed(*sent) == sent


def test_a_body_over_its_limits_is_answered():
    half = {"type": "http.request", "body": b"{", "more_body": True}
    assert passed(half, HTTPException(408, "too slow")) == []
