"""Read agents from MLflow's registry of MCP servers, which is experimental (MLflow 3.15)."""

from collections.abc import Callable, Collection, Iterator
from itertools import count
from typing import Any

from ..errors import InputError
from ..system import read_mlflow
from .agents import Agent, Registry
from .formats import Split, agents_of_servers
from .watch import Watch

STATUSES = ("draft", "active", "deprecated")
_WHERE = "MLflow's registry of MCP servers"


def read_servers(
    status: str, alias: str | None, split: Split, require: Collection[str]
) -> tuple[Agent, ...]:
    """Return the agents of the servers that MLflow holds.

    Args:
        status: of the versions that are read; others are left out.
        alias: of the version that is read of each server; servers without it are left out. If
            None, the version that was registered last.
        split: an agent a server, or one for each of its tools.
        require: permissions that a caller needs for each agent.

    Raises:
        InputError: MLflow or its server is older or cannot be reached, or a server is no agent.
    """
    if status not in STATUSES:
        raise InputError(f"status {str(status)!r:.100}: must be one of {', '.join(STATUSES)}")

    def read(mlflow: Any) -> list[Any]:
        if not hasattr(mlflow.genai, "search_mcp_servers"):
            raise InputError(f"{_WHERE}: MLflow {mlflow.__version__} has none; install 3.15")
        try:
            return list(_versions(mlflow.genai, status, alias))
        except mlflow.exceptions.MlflowException as error:
            if error.error_code not in ("ENDPOINT_NOT_FOUND", "NOT_IMPLEMENTED"):
                raise
            raise InputError(f"{_WHERE}: the server has none; it must be MLflow 3.15") from error

    servers = [
        (version.server_json, [tool.to_dict() for tool in version.tools or ()])
        for version in read_mlflow(_WHERE, read, InputError)
    ]
    return agents_of_servers(servers, _WHERE, split, require)


def watch_servers(
    registry: Registry,
    status: str,
    alias: str | None,
    split: Split,
    require: Collection[str],
    seconds: float,
) -> Watch:
    """Let a registry follow the servers from now on; the arguments are those of ``Registry``."""
    if not require and any(agent.required_permissions for agent in registry):
        raise InputError(
            f"{_WHERE}: agents of this registry need permissions, and would be open to everybody "
            "at the first look: give watch_mlflow the same require as from_mlflow"
        )

    def read() -> Registry:
        return Registry.from_mlflow(status, alias=alias, split=split, require=require)

    return Watch(registry, "MLflow", read, seconds, stamp=count().__next__, settles=False)


def _versions(genai: Any, status: str, alias: str | None) -> Iterator[Any]:
    """Yield the version of each server that is wanted, where there is one."""
    for server in _pages(genai.search_mcp_servers):
        versions = [
            version
            for version in _pages(genai.search_mcp_server_versions, name=server.name)
            if version.status == status and (alias is None or alias in version.aliases)
        ]
        if versions:
            yield max(versions, key=lambda version: version.creation_timestamp or 0)


def _pages(search: Callable[..., Any], **given: Any) -> Iterator[Any]:
    token, seen = None, set[str]()
    while True:
        page = search(page_token=token, **given)
        yield from page
        token = page.token
        if not token:
            return
        if token in seen:
            raise InputError(f"{_WHERE}: the server's pages never end: it names one twice")
        seen.add(token)
