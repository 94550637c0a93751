"""``task-delegator serve``, ``mcp`` and ``token``: answer other processes."""

import argparse
import logging
import os
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from ..system import needed
from .options import (
    add_lm_share,
    agents_file,
    check_appended,
    check_written,
    load_program,
    permissions_of,
    tell,
    whole_number,
)

if TYPE_CHECKING:
    from ..registry import Registry, Watch
    from ..tracing import TraceLog


def add_to(commands: Any, program: argparse.ArgumentParser) -> None:
    """Add the commands to those of the command line."""
    serve = commands.add_parser(
        "serve", parents=[program], help="answer over HTTP and MCP, with a page for reviewers"
    )
    serve.add_argument("--host", default="127.0.0.1", help="address to listen on")
    serve.add_argument(
        "--port", type=whole_number(1, 65_535), default=8000, help="port to listen on"
    )
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
    serve.add_argument(
        "--mlflow",
        metavar="URI",
        default=os.environ.get("TASK_DELEGATOR_MLFLOW"),
        help="MLflow server or database to write traces, reviews and feedback to; default: none",
    )
    serve.add_argument(
        "--trace-texts",
        action="store_true",
        help="keep tasks, prompts and answers in traces; default: their lengths",
    )
    serve.add_argument(
        "--decisions",
        metavar="FILE",
        help="JSONL file to append every decision with its task to, which traces join to by the "
        "request id; with --feedback, what waits for a person there waits again; default: none",
    )
    add_lm_share(serve)
    serve.set_defaults(run=_serve)
    _add_mcp(commands, program)
    _add_token(commands)


def _add_token(commands: Any) -> None:
    token = commands.add_parser("token", help="make a token for a caller of the service")
    token.add_argument("name", help="who uses it")
    token.add_argument("--tokens", metavar="FILE", default="tokens.json", help="file of tokens")
    token.add_argument(
        "--permissions",
        metavar="A,B",
        help="permissions that it carries, separated by commas; default: no limits",
    )
    token.add_argument(
        "--reviewer",
        action="store_true",
        help="for a person who reviews: it shows what waits of all callers that have no "
        "permission beyond its own",
    )
    token.set_defaults(run=_token)


def _add_mcp(commands: Any, program: argparse.ArgumentParser) -> None:
    mcp = commands.add_parser(
        "mcp", parents=[program], help="answer an assistant over standard input and output (MCP)"
    )
    add_lm_share(mcp)
    mcp.set_defaults(run=_mcp)


def _serve(options: argparse.Namespace) -> int:
    with needed("serve"):
        from ..service import Access, Desk, check_address, listen, read_tokens, serve
    from ..tracing import still_waiting

    permissions = permissions_of(options)
    if options.tokens and permissions is not None:
        raise InputError("--permissions is for callers without a token: give it, or --tokens")
    access = Access(read_tokens(options.tokens) if options.tokens else (), permissions)
    check_address(access, options.host)
    feedback = Path(options.feedback) if options.feedback else None
    kept = [path for path in (feedback, options.decisions and Path(options.decisions)) if path]
    check_written(options, kept, options.tokens, options.enrichment)
    for path in kept:
        check_appended(path)
    if len(kept) > len({path.resolve() for path in kept}):
        raise InputError(f"{feedback}: --feedback and --decisions are files of their own")
    listening = listen(options.host, options.port)  # now: loading takes seconds
    traces = _traces(options)
    logging.getLogger("task_delegator").setLevel(logging.INFO)  # who was taken over is told
    seen = _state(options) if options.watch else None
    delegator = load_program(options)
    desk = Desk(delegator, feedback, traces)
    if feedback and options.decisions:
        desk.restore(still_waiting(Path(options.decisions), feedback), access)
    with _watched(options, delegator.registry, seen) if options.watch else nullcontext() as watch:
        desk.watch = watch
        serve(desk, access, listening)
    return 0


def _traces(options: argparse.Namespace) -> "TraceLog | None":
    """Return what writes traces and decisions, None where neither is wanted."""
    if options.trace_texts and not options.mlflow:
        raise InputError("--trace-texts is about the traces: name their store with --mlflow URI")
    if not options.mlflow and not options.decisions:
        return None
    from ..tracing import TraceLog

    store = None
    if options.mlflow:
        with needed("mlflow"):
            from ..tracing.mlflow_store import MlflowStore
        store = MlflowStore(options.mlflow)
    decisions = Path(options.decisions) if options.decisions else None
    return TraceLog(store, decisions, texts=options.trace_texts)


def _state(options: argparse.Namespace) -> object:
    """Return the state of the files that hold the agents and their additions."""
    from ..registry import stamps

    named = [] if options.enrichment in (None, "none") else [Path(options.enrichment)]
    return [stamps(path) for path in (agents_file(options), *named)]


def _watched(options: argparse.Namespace, registry: "Registry", seen: object) -> "Watch":
    """Return a thread that follows the files of agents and additions.

    Args:
        options: that name them.
        registry: the agents.
        seen: the state of the files before they were read.
    """
    from ..registry import Registry, Watch, load_enriched

    path = agents_file(options)

    def read() -> "Registry":
        if options.enrichment == "none":
            return Registry.load(path)
        return load_enriched(path, options.enrichment, gone=True)

    return Watch(registry, path, read, stamp=partial(_state, options), seen=seen)


def _mcp(options: argparse.Namespace) -> int:
    with needed("serve"):
        from ..service import Caller, Desk, create_tools
    caller = Caller("stdio", permissions_of(options))
    create_tools(Desk(load_program(options)), caller=caller).run("stdio")
    return 0


def _token(options: argparse.Namespace) -> int:
    with needed("serve"):
        from ..service import add_token
    permissions = permissions_of(options)
    made = add_token(Path(options.tokens), options.name, permissions, reviewer=options.reviewer)
    print(made)
    tell(f"{options.tokens} holds its digest; the token itself is shown this once")
    return 0
