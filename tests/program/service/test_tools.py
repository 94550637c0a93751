"""The tools of MCP, asked by the client of the official SDK, over HTTP and over stdio."""

import asyncio
import json
import os
import sys

import pytest
from mcp import Client, StdioServerParameters, stdio_client
from pydantic import BaseModel
from small import HashedWords, office_registry
from starlette.testclient import TestClient

from task_delegator.delegator import Delegator
from task_delegator.registry import Agent
from task_delegator.service import (
    Access,
    Caller,
    Desk,
    Token,
    create_app,
    create_tools,
    token_sha256,
)

TASK = "the refund of my order is late"


@pytest.fixture
def desk():
    registry = office_registry()
    registry.add(Agent(name="Fraud", description=TASK, required_permissions=frozenset({"fraud"})))
    return Desk(Delegator(registry, HashedWords()))


def asked(server, tool: str, **arguments):
    async def ask():
        async with Client(server) as client:
            names = {one.name for one in (await client.list_tools()).tools}
            return names, await client.call_tool(tool, arguments)

    return asyncio.run(ask())


def test_an_assistant_asks_for_the_right_agent(desk):
    names, found = asked(create_tools(desk), "find_agent", task=TASK)
    assert names == {"find_agent", "plan_task"}
    alone = desk.delegator(TASK)
    assert found.structured_content["decision"] == alone.decision
    assert [one["name"] for one in found.structured_content["top3"]] == [c.name for c in alone.top3]


def test_an_assistant_asks_for_a_person_who_may_use_fewer_agents(desk):
    for tool in ("find_agent", "plan_task"):
        _, found = asked(create_tools(desk), tool, task=TASK)
        assert "Fraud" in json.dumps(found.structured_content)
        _, found = asked(create_tools(desk), tool, task=TASK, permissions=[])
        assert "Fraud" not in json.dumps(found.structured_content)
    bob = create_tools(desk, caller=Caller("bob", frozenset()))
    _, found = asked(bob, "find_agent", task=TASK, permissions=["fraud"])
    assert "Fraud" not in json.dumps(found.structured_content)


def test_an_assistant_asks_again_without_who_failed_and_goes_on_from_what_was_said(desk):
    _, found = asked(create_tools(desk), "find_agent", task=TASK, exclude=["Fraud"])
    assert found.structured_content["agent"] == desk.delegator(TASK, exclude=["Fraud"]).agent
    _, found = asked(
        create_tools(desk), "find_agent", task="and it?", history=["salaries of staff"]
    )
    assert found.structured_content["agent"] == "Payroll" != desk.delegator("and it?").agent
    _, found = asked(create_tools(desk), "plan_task", task=TASK, exclude=["Fraud"])
    assert "Fraud" not in json.dumps(found.structured_content)


def test_an_assistant_asks_for_a_plan(desk):
    _, found = asked(create_tools(desk), "plan_task", task=TASK)
    assert [step["task"] for step in found.structured_content["steps"]] == [TASK]


def test_a_tool_sees_no_agent_that_the_caller_may_not_use(desk):
    _, found = asked(create_tools(desk, caller=Caller("bob", frozenset())), "find_agent", task=TASK)
    assert "Fraud" not in json.dumps(found.structured_content)


def test_an_empty_task_is_refused_in_words(desk):
    _, found = asked(create_tools(desk), "find_agent", task=" ")
    assert found.is_error
    assert "empty" in found.content[0].model_dump()["text"]


@pytest.mark.parametrize("tool", ["find_agent", "plan_task"])
def test_a_wish_that_is_misspelled_is_refused_by_its_name(desk, tool):
    _, found = asked(create_tools(desk), tool, task=TASK, exlude=["Refunds"])
    assert found.is_error
    assert "exlude" in found.content[0].model_dump()["text"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({}, "task is missing: add it"),
        ({"task": 7}, "task: Input should be a valid string"),
        (
            {"task": TASK, "exclude": ["Refunds", 12_345]},
            "exclude.1: Input should be a valid string",
        ),
        ({"task": TASK, "exclude": [1, 2], "permissions": [3]}, "exclude.0: "),
        ({"task": TASK, "history": ["secret words" * 2_000]}, "at most 20000 characters"),
        ({"task": TASK, "ex\nlude" * 200: []}, "ex lude"),
        ({"task": TASK, "exlude": ["Refunds"]}, "exlude: "),
    ],
)
def test_a_wrong_argument_is_refused_in_one_line(desk, arguments, says):
    _, found = asked(create_tools(desk), "find_agent", **arguments)
    told = found.content[0].model_dump()["text"]
    assert found.is_error
    assert says in told
    assert told.endswith("; find_agent takes task, exclude, history, permissions")
    assert len(told) < 400
    assert not [part for part in ("\n", "secret", "12345", "pydantic") if part in told]


def test_a_fault_of_the_tool_is_no_wrong_argument(desk, monkeypatch):
    class Odd(BaseModel):
        number: int

    monkeypatch.setattr(desk.delegator, "acall", lambda **_: Odd.model_validate({"number": "x"}))
    _, found = asked(create_tools(desk), "find_agent", task=TASK)
    assert found.content[0].model_dump()["text"] == "Error executing tool find_agent"


@pytest.mark.parametrize(
    "wishes",
    [
        {"exclude": ["x" * 201]},
        {"permissions": ["x" * 201]},
        {"history": ["x" * 20_001]},
        {"exclude": ["x"] * 1001},
        {"history": ["x"] * 101},
    ],
    ids=["a name", "a permission", "an earlier task", "names", "earlier tasks"],
)
def test_the_limits_are_those_of_http(desk, wishes):
    (name,) = wishes
    _, found = asked(create_tools(desk), "find_agent", task=TASK, **wishes)
    assert found.is_error
    assert name in found.content[0].model_dump()["text"]
    client = TestClient(create_app(desk), base_url="http://127.0.0.1")
    refused = client.post("/delegate", json={"task": TASK, **wishes})
    assert refused.status_code == 400
    assert name in refused.json()["detail"]


CALL = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "tools/call",
    "params": {"name": "find_agent", "arguments": {"task": TASK}},
}
ACCEPT = {"Accept": "application/json, text/event-stream", "MCP-Protocol-Version": "2025-06-18"}


def test_over_http_the_token_tells_who_asks(desk):
    tokens = [
        Token(name="ada", sha256=token_sha256("of ada"), permissions=None),
        Token(name="bob", sha256=token_sha256("of bob"), permissions=frozenset()),
    ]
    access = Access(tokens)
    app = create_app(desk, access, create_tools(desk, access))
    with TestClient(app, base_url="https://delegator.example") as client:
        answers = {
            name: client.post(
                "/mcp", json=CALL, headers=ACCEPT | {"Authorization": f"Bearer {name}"}
            )
            for name in ("of ada", "of bob", "of eve")
        }
        for names in (["of bob", "of ada"], ["of ada", "of bob"], ["of eve", "of ada"]):
            tokens_of = [("Authorization", f"Bearer {name}") for name in names]
            refused = client.post("/mcp", json=CALL, headers=[*ACCEPT.items(), *tokens_of])
            assert (refused.status_code, refused.json()) == (
                401,
                {"detail": "send one known token"},
            )
    assert [answer.status_code for answer in answers.values()] == [200, 200, 401]
    assert "Fraud" in answers["of ada"].text
    assert "Fraud" not in answers["of bob"].text


@pytest.mark.slow
def test_an_assistant_starts_it_as_a_command(tmp_path):
    office_registry().save(tmp_path / "agents.json")
    command = ["-m", "task_delegator.cli", "mcp", "--agents", str(tmp_path / "agents.json")]
    server = stdio_client(
        StdioServerParameters(command=sys.executable, args=command, env=dict(os.environ))
    )
    _, found = asked(server, "find_agent", task="where is my refund?")
    assert found.structured_content["top3"][0]["name"] == "Refunds"
