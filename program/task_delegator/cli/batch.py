"""``task-delegator batch``: a file of tasks."""

import argparse
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from .options import add_lm_share, check_written, load_program, permissions_of, tell, whole_number

if TYPE_CHECKING:
    from ..batch import Batch


def add_to(commands: Any, program: argparse.ArgumentParser) -> None:
    """Add the command to those of the command line."""
    batch = commands.add_parser("batch", parents=[program], help="delegate a file of tasks")
    batch.add_argument(
        "tasks",
        help='JSONL file of tasks, {"task": "..."} or a string per line; - for stdin; '
        "or a .parquet file with a column named task",
    )
    batch.add_argument(
        "out", help="JSONL file to write, one delegation per line; or a .parquet file"
    )
    batch.add_argument(
        "--workers", type=whole_number(1), default=1, metavar="N", help="processes; default: 1"
    )
    batch.add_argument(
        "--ray",
        metavar="ADDRESS",
        help="delegate on a Ray cluster, such as ray://head:10001; local for one of this machine; "
        "--workers says in how many processes (extra ray)",
    )
    batch.add_argument(
        "--max-lm-calls",
        type=whole_number(0),
        metavar="N",
        help="ask the LM for no further task after so many calls; those that would need it are "
        'delegated without it and say "second_pass": true; default: no limit',
    )
    add_lm_share(batch)
    batch.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from tqdm import tqdm

    from ..batch import (
        check_format,
        delegate_batch,
        program_digest,
        read_tasks,
        write_bad,
        written_beside,
    )

    if (options.workers > 1 or options.ray) and options.max_lm_calls is not None:
        raise InputError("--max-lm-calls is counted in one process: leave out --workers and --ray")
    check_format(options.tasks, options.out)
    out = Path(options.out)
    check_written(options, written_beside(out), options.tasks, options.enrichment)
    given, permissions = read_tasks(options.tasks), permissions_of(options)
    delegator = load_program(options)
    caps = {"max_lm_calls": options.max_lm_calls, "max_lm_share": options.max_lm_share}
    program = program_digest(
        delegator,
        **{name: cap for name, cap in caps.items() if cap is not None},
        lm=None if options.no_lm else options.lm,
        permissions=permissions if permissions is None else sorted(permissions),
        calibrated=options.allow_uncalibrated,
        **({"transfer": True} if options.calibrate == "transfer" else {}),
        on_lm_failure=options.on_lm_failure,
        timeout=options.timeout,
    )
    done = delegate_batch(
        given.tasks,
        _engine(options, delegator, permissions),
        out,
        program,
        lambda rows, number: tqdm(rows, unit="task", delay=3, total=number),
        given.ids,
    )
    beside = write_bad(out, given.bad)
    bad = ""
    if given.bad:
        bad = f"; {len(given.bad)} bad lines are listed in {beside}, the first: {given.bad[0][1]}"
    tell(f"{_said(done, options.out)}{bad}")
    return InputError.exit_code if given.bad else done.exit_code


def _said(done: "Batch", out: str) -> str:
    """Return in words what a batch wrote."""
    said = f"wrote {done.rows} delegations to {out}"
    if done.kept:
        said += f", {done.kept} of them by an earlier run"
    if done.failed:
        said += f'; {done.failed} failed: see their "error"'
    if done.second_pass:
        said += (
            f"; {done.second_pass} were decided without the LM, which was needed: "
            'those that say "second_pass" can be given to batch again'
        )
    return said


def _engine(options: argparse.Namespace, delegator: Any, permissions: Any) -> Any:
    from ..batch import on_ray, one_process, several_processes

    again = argparse.Namespace(**{k: v for k, v in vars(options).items() if k != "run"})
    load = partial(load_program, again)
    if options.ray:
        return on_ray(load, permissions, options.ray, options.workers)
    if options.workers > 1:
        return several_processes(load, permissions, options.workers)
    return one_process(delegator, permissions, options.max_lm_calls)
