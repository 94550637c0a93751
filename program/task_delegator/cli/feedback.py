"""``task-delegator feedback``: who was right."""

import argparse
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import DelegatorError, InputError, StoreError
from ..settings import check_task
from ..system import append_row, needed
from .options import check_written, load_program, permissions_of, read_registry

if TYPE_CHECKING:
    from ..tracing.mlflow_store import MlflowStore


def add_to(commands: Any, program: argparse.ArgumentParser) -> None:
    """Add the command to those of the command line."""
    feedback = commands.add_parser(
        "feedback", parents=[program], help="record the right agent of a task"
    )
    feedback.add_argument("task", help="the task as it was given")
    feedback.add_argument("--correct", metavar="NAME", help="the right agent")
    feedback.add_argument("--nobody", action="store_true", help="no agent is right")
    feedback.add_argument(
        "--delegate",
        action="store_true",
        help="delegate the task now, and record decision and confidence too",
    )
    feedback.add_argument("--log", default="feedback.jsonl", help="JSONL file to append to")
    feedback.add_argument("--source", default="", help="who gives the feedback")
    feedback.add_argument(
        "--request-id", metavar="ID", help="of a delegation of the service, to assess its trace"
    )
    feedback.add_argument(
        "--mlflow",
        metavar="URI",
        default=os.environ.get("TASK_DELEGATOR_MLFLOW"),
        help="MLflow server or database that holds the trace",
    )
    feedback.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from ..feedback import Feedback, now, record
    from ..registry import no_such_agent
    from ..tracing import shown_name

    if options.request_id is not None and not options.mlflow:
        raise InputError("--request-id names a trace: name its store with --mlflow URI")
    check_task(options.task)
    check_written(options, [Path(options.log)], options.enrichment)
    path, registry = read_registry(options)
    if options.correct is not None and options.correct not in registry:
        names = {agent.name.casefold(): agent.name for agent in registry}
        if (meant := names.get(options.correct.casefold())) is None:
            raise InputError(f"{path}: {no_such_agent(options.correct, names.values())}")
        options.correct = meant
    if options.correct and not registry[options.correct].permits(permissions_of(options)):
        raise InputError(f"{options.correct!r} needs more than --permissions")
    if (options.correct is None) != options.nobody:
        raise InputError("the right agent is unclear: give either --correct NAME or --nobody")
    store = None if options.request_id is None else _store_of(options)
    if options.delegate:
        delegation = load_program(options)(options.task, permissions=permissions_of(options))
        row = record(options.log, delegation, options.correct, options.source, options.request_id)
    else:
        row = Feedback(
            task=options.task,
            correct_agent=options.correct,
            source=options.source,
            time=now(),
            request_id=options.request_id,
        )
        append_row(options.log, row)
    if store is not None:
        _assess(store, options, shown_name(registry, options.correct or ""))
    print(json.dumps(row.model_dump(mode="json")))  # ASCII: fit for any terminal
    return 0


def _store_of(options: argparse.Namespace) -> "MlflowStore":
    """Return the store that holds the trace of the request, before anything is written.

    Raises:
        InputError: no trace has the request's id.
        StoreError: the store cannot be used.
    """
    with needed("mlflow"):
        from ..tracing.mlflow_store import MlflowStore
    store = MlflowStore(options.mlflow)
    with _told("nothing written"):
        store.require(options.request_id)
    return store


def _assess(store: "MlflowStore", options: argparse.Namespace, shown_agent: str | None) -> None:
    from ..tracing import Assessed

    with _told(f"the feedback is in {options.log}; its trace was not assessed"):
        store.assess(Assessed(options.request_id, shown_agent, options.source))


@contextmanager
def _told(what: str) -> Iterator[None]:
    """Report in one line whatever a store, its server or a driver raises in the block.

    Raises:
        StoreError: the store does not answer, or refuses.
    """

    try:
        yield
    except DelegatorError:
        raise
    except Exception as error:  # the message may hold a password
        raise StoreError(f"--mlflow: {what} ({type(error).__name__}); look at the store") from error
