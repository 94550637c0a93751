"""Agents of MLflow's registry of MCP servers, in a real store."""

import time
from types import SimpleNamespace
from typing import Any

import mlflow
import pytest
from mlflow import genai
from mlflow.entities import MCPTool
from mlflow.exceptions import MlflowException
from tracking import empty_store, mlflow_server

from task_delegator.delegator import Delegator
from task_delegator.errors import InputError
from task_delegator.registry.agents import Registry

pytestmark = [
    pytest.mark.slow,
    # What is experimental in MLflow warns of itself.
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]


def register(name: str, version: str, status: Any = "active", text: str = "", **tools: str) -> None:
    tool: Any = MCPTool  # decorated, which hides that it is a class
    genai.register_mcp_server(
        {"name": name, "version": version, "description": text or f"{name} {version}"},
        status=status,
        tools=[tool(name=called, description=said) for called, said in tools.items()],
    )


@pytest.fixture(params=["database", "server"])
def store(request, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    uri = empty_store(tmp_path)
    before = mlflow.get_tracking_uri()
    if request.param == "database":
        mlflow.set_tracking_uri(uri)
        yield
    else:
        with mlflow_server(uri, tmp_path) as server:
            mlflow.set_tracking_uri(server.url)
            yield
    mlflow.set_tracking_uri(before)


def test_statuses_and_aliases_say_which_version_is_an_agent(store):
    register("com.acme/refunds", "1.0.0", text="Pays money back.", refund="Refund an order")
    time.sleep(0.01)
    register("com.acme/refunds", "2.0.0", text="Pays money back, fast.")
    register("com.acme/travel", "1.0.0", "draft", "Books trains.")
    genai.set_mcp_server_alias("com.acme/refunds", "stable", "1.0.0")

    registry = Registry.from_mlflow()
    assert {a.name: a.description for a in registry} == {
        "com.acme/refunds": "Pays money back, fast."
    }
    stable = Registry.from_mlflow(alias="stable", require=["pay"])
    (agent,) = stable
    assert (agent.description, agent.domain) == ("Pays money back.", "com.acme")
    assert [str(tool).partition(":")[0] for tool in agent.tools] == ["refund"]
    assert agent.required_permissions == {"pay"}
    (tool,) = Registry.from_mlflow(alias="stable", split="skills")
    assert "refund" in tool.name
    assert [a.name for a in Registry.from_mlflow("draft")] == ["com.acme/travel"]
    assert len(Registry.from_mlflow("deprecated")) == 0
    genai.update_mcp_server_version("com.acme/refunds", "1.0.0", status="deprecated")
    assert len(Registry.from_mlflow(alias="stable")) == 0  # an alias is no way around a status
    with pytest.raises(InputError, match="must be one of draft, active, deprecated"):
        Registry.from_mlflow("deleted")


def test_a_registry_follows_the_servers(store):
    register("com.acme/refunds", "1.0.0", text="Pays money back.")
    registry = Registry.from_mlflow()
    with registry.watch_mlflow(seconds=0.2):
        register("com.acme/travel", "1.0.0", text="Books trains.")
        deadline = time.monotonic() + 60
        while len(registry) == 1 and time.monotonic() < deadline:
            time.sleep(0.1)
        changed = registry.version
        time.sleep(1)
        assert registry.version == changed  # a look that finds nothing new changes nothing
    assert set(map(str, (a.name for a in registry))) == {"com.acme/refunds", "com.acme/travel"}
    assert Delegator(registry)("book me a train").top3[0].name == "com.acme/travel"


@pytest.mark.parametrize(
    ("raised", "said"),
    [
        (MlflowException("x", error_code=1), "see MLFLOW_TRACKING_URI"),
        (None, "the server has none; it must be MLflow 3.15"),
    ],
)
def test_a_server_without_the_registry_is_one_line(raised, said, monkeypatch):
    class OlderError(MlflowException):
        error_code = "ENDPOINT_NOT_FOUND"

        def __init__(self):
            Exception.__init__(self, "no endpoint\n404")

    def search(**_):
        raise raised or OlderError()

    monkeypatch.setattr(genai, "search_mcp_servers", search)
    with pytest.raises(InputError, match=said) as caught:
        Registry.from_mlflow()
    assert "\n" not in str(caught.value)
    monkeypatch.delattr(genai, "search_mcp_servers")
    with pytest.raises(InputError, match=r"install 3\.15"):
        Registry.from_mlflow()


class Page(list):
    """One page of what a server answers."""

    def __init__(self, rows, token=None):
        super().__init__(rows)
        self.token = token


def fake_servers(monkeypatch, *server_json: dict[str, Any], token=None):
    """Let MLflow hold servers whose texts nobody checked."""
    versions = [
        SimpleNamespace(
            name=f"s{n}", status="active", aliases=[], creation_timestamp=1, tools=None,
            server_json=one,
        )
        for n, one in enumerate(server_json)
    ]  # fmt: skip
    monkeypatch.setattr(
        genai, "search_mcp_servers", lambda page_token=None: Page(versions, token), raising=False
    )
    monkeypatch.setattr(
        genai,
        "search_mcp_server_versions",
        lambda page_token=None, name="": Page(v for v in versions if v.name == name),
        raising=False,
    )


def test_following_the_servers_opens_no_agent_to_everybody(monkeypatch):
    fake_servers(monkeypatch, {"name": "com.acme/pay", "description": "Pays money."})
    registry = Registry.from_mlflow(require=["pay"])
    with pytest.raises(InputError, match="the same require as from_mlflow"):
        registry.watch_mlflow(seconds=0.01)
    before = registry.version
    with registry.watch_mlflow(require=["pay"], seconds=0.01):
        fake_servers(
            monkeypatch,
            {"name": "com.acme/pay", "description": "Pays."},
            {"name": "com.acme/fire", "description": "Fires.", "required_permissions": []},
        )
        deadline = time.monotonic() + 20
        while len(registry) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
    assert registry.version > before
    assert len(registry) == 2
    assert registry.permitted([]) == frozenset()


def test_pages_that_never_end_are_refused(monkeypatch):
    fake_servers(monkeypatch, {"name": "com.acme/pay", "description": "Pays."}, token="again")
    with pytest.raises(InputError, match="never end"):
        Registry.from_mlflow()
