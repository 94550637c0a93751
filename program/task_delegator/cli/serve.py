"""``task-delegator serve``, ``mcp`` and ``token``: answer other processes."""

import argparse
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .options import enriched, load_program, permissions_of, read_registry, tell

if TYPE_CHECKING:
    from ..registry import Registry, Watch


def add_to(commands: Any, program: argparse.ArgumentParser) -> None:
    """Add the commands to those of the commands line."""
    serve = commands.add_parser(
        "serve", parents=[program], help="answer over HTTP and MCP, with a page for reviewers"
    )
    serve.add_argument("--host", default="127.0.0.1", help="address to listen on")
    serve.add_argument("--port", type=int, default=8000, help="port to listen on")
    serve.add_argument(
        "--tokens",
        metavar="FILE",
        help="who may call (see the command token); default: anybody on this machine",
    )
    serve.add_argument(
        "--feedback", metavar="FILE", help="JSONL file to append feedback to; default: refuse it"
    )
    serve.add_argument(
        "--watch", action="store_true", help="take the agents over again when their file changes"
    )
    serve.set_defaults(run=_serve)

    mcp = commands.add_parser(
        "mcp", parents=[program], help="answer an assistant over standard input and output (MCP)"
    )
    mcp.set_defaults(run=_mcp)

    token = commands.add_parser("token", help="make a token for a caller of the service")
    token.add_argument("name", help="who uses it")
    token.add_argument("--tokens", metavar="FILE", default="tokens.json", help="file of tokens")
    token.add_argument(
        "--permissions",
        metavar="A,B",
        help="permissions that it carries, separated by commas; default: no limits",
    )
    token.set_defaults(run=_token)


def _serve(options: argparse.Namespace) -> int:
    from ..system import needed

    with needed("serve"):
        from ..service import Access, Desk, read_tokens, serve
    access = Access(read_tokens(options.tokens) if options.tokens else ())
    feedback = Path(options.feedback) if options.feedback else None
    delegator = load_program(options)
    with _watched(options, delegator.registry) if options.watch else nullcontext():
        serve(Desk(delegator, feedback), access, options.host, options.port)
    return 0


def _watched(options: argparse.Namespace, registry: "Registry") -> "Watch":
    """Return a thread that follows the file of agents."""
    from ..registry import Watch

    path, _ = read_registry(options)
    return Watch(registry, path, lambda: enriched(options, *read_registry(options)))


def _mcp(options: argparse.Namespace) -> int:
    from ..system import needed

    with needed("serve"):
        from ..service import Caller, Desk, create_tools
    caller = Caller("stdio", permissions_of(options))
    create_tools(Desk(load_program(options)), caller=caller).run("stdio")
    return 0


def _token(options: argparse.Namespace) -> int:
    from ..system import needed

    with needed("serve"):
        from ..service import add_token
    print(add_token(Path(options.tokens), options.name, permissions_of(options)))
    tell(f"{options.tokens} holds its digest; the token itself is shown this once")
    return 0
