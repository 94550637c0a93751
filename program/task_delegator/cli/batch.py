"""``task-delegator batch``: a file of tasks."""

import argparse
from pathlib import Path
from typing import Any

from .options import load_program, permissions_of, tell

_TASK_LINE = '{"task": "..."} or a string in quotes, a line of JSON each'


def add_to(commands: Any, program: argparse.ArgumentParser) -> None:
    """Add the command to those of the command line."""
    batch = commands.add_parser("batch", parents=[program], help="delegate a file of tasks")
    batch.add_argument(
        "tasks", help='JSONL file of tasks, {"task": "..."} or a string per line; - for stdin'
    )
    batch.add_argument("out", help="JSONL file to write, one delegation per line")
    batch.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from tqdm import tqdm

    from ..batch import delegate_batch, program_digest

    tasks, permissions = _read_tasks(options.tasks), permissions_of(options)
    delegator = load_program(options)
    program = program_digest(
        delegator,
        lm=None if options.no_lm else options.lm,
        permissions=permissions if permissions is None else sorted(permissions),
        calibrated=options.allow_uncalibrated,
        on_lm_failure=options.on_lm_failure,
        timeout=options.timeout,
    )
    done = delegate_batch(
        tasks,
        lambda task: delegator(task, permissions=permissions),
        Path(options.out),
        program,
        lambda left: tqdm(left, unit="task", delay=3),
    )
    kept = f", {done.kept} of them by an earlier run" if done.kept else ""
    failed = f'; {done.failed} failed: see their "error"' if done.failed else ""
    tell(f"wrote {done.rows} delegations to {options.out}{kept}{failed}")
    return done.exit_code


def _read_tasks(path: str) -> list[tuple[int, str]]:
    from ..delegator import check_task
    from ..errors import InputError
    from ..feedback import read_jsonl

    tasks = []
    for number, row in read_jsonl(path, expected=_TASK_LINE):
        task = row.get("task") if isinstance(row, dict) else row
        if not isinstance(task, str):
            raise InputError(f"{path}: line {number}: expected {_TASK_LINE}")
        try:
            check_task(task)
        except InputError as error:
            raise InputError(f"{path}: line {number}: {error}") from error
        tasks.append((number, task))
    return tasks
