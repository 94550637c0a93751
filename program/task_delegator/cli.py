"""The command ``task-delegator``: delegate, batch, feedback, cache, lint, import, export."""

import argparse
import json
import math
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .choice import add_wishes
from .exchange import add_commands, names_in

if TYPE_CHECKING:  # imported when needed: --help is not to wait for them
    from .delegation import Plan
    from .delegator import Delegator
    from .registry import Registry

_AGENTS = Path("datasets/agents.json")  # the registry of a checkout
_NAMED = 10  # agents of a finding that are named


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return 0, 2 on bad input, or 3 where LM or embedder fail."""
    parsed = parser().parse_args(arguments)
    from .console import accept_any_text
    from .errors import DelegatorError

    accept_any_text()
    try:
        return parsed.run(parsed)
    except DelegatorError as error:
        _tell(error)
        return error.exit_code


def _tell(message: object) -> None:
    from .text import printable

    print(f"task-delegator: {printable(str(message))}", file=sys.stderr)


def _delegate(options: argparse.Namespace) -> int:
    from .delegator import check_task
    from .errors import InputError
    from .text import printable

    check_task(options.task)
    whom = {"exclude": options.exclude, "include": options.include}
    if options.plan and options.history:
        raise InputError("--plan reads no earlier tasks: leave out --history")
    delegator = _load(options)
    if options.plan:
        plan = delegator.plan(options.task, permissions=_permissions(options), **whom)
        print(json.dumps(plan.to_dict(), indent=1) if options.json else _lines(plan))
        return 0
    more = {"history": options.history, "k": options.top}
    delegation = delegator(options.task, permissions=_permissions(options), **whom, **more)
    if options.json:
        print(json.dumps(delegation.to_dict(), indent=1))
        return 0
    print(f"{delegation.decision}: {printable(delegation.agent or 'no agent')}")
    print(f"confidence {delegation.confidence:.2f}. {printable(delegation.reason)}")
    for candidate in delegation.ranking:
        print(f"  {candidate.probability:6.1%}  {printable(candidate.name)}")
    return 0


def _lines(plan: "Plan") -> str:
    from .text import printable

    lines = [
        f"{len(plan.steps)} step(s); probability that several agents are needed: {plan.several:.0%}"
    ]
    for step in plan.steps:
        waits = f" after {', '.join(map(str, step.after))}" if step.after else ""
        given = step.delegation
        lines += [
            f"{step.number}.{waits} {given.decision}: {printable(given.agent or 'no agent')} "
            f"({given.confidence:.2f})",
            f"   {printable(step.task)}",
        ]
    return "\n".join(lines)


def _feedback(options: argparse.Namespace) -> int:
    from .delegator import check_task
    from .errors import InputError
    from .feedback import Feedback, append, now, record

    check_task(options.task)
    path, registry = _registry(options)
    if options.correct is not None and options.correct not in registry:
        raise InputError(f"{path}: no agent is named {options.correct!r}")
    if (options.correct is None) != options.nobody:
        raise InputError("the right agent is unclear: give either --correct NAME or --nobody")
    if options.delegate:
        delegation = _load(options)(options.task, permissions=_permissions(options))
        row = record(options.log, delegation, options.correct, options.source)
    else:
        row = Feedback(
            task=options.task, correct_agent=options.correct, source=options.source, time=now()
        )
        append(options.log, row)
    print(json.dumps(row.model_dump(mode="json")))  # ASCII: fit for any terminal
    return 0


def _batch(options: argparse.Namespace) -> int:
    from tqdm import tqdm

    from .batch import delegate_batch, program_digest

    tasks, permissions = _read_tasks(options.tasks), _permissions(options)
    delegator = _load(options)
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
    _tell(f"wrote {done.rows} delegations to {options.out}{kept}{failed}")
    return done.exit_code


def _lint(options: argparse.Namespace) -> int:
    from .registry import Registry
    from .text import printable

    findings = Registry.load(options.agents).lint()
    for finding in findings:
        named, more = finding.agents[:_NAMED], len(finding.agents) - _NAMED
        names = ", ".join(named) + (f" and {more} more" if more > 0 else "")
        print(printable(f"{finding.rule}: {names}: {finding.detail}"))
    _tell(f"{len(findings)} findings")
    return 0


def _cache(options: argparse.Namespace) -> int:
    from .embedders import clear_cache, kept_files
    from .errors import InputError
    from .files import cache_folder

    try:
        held = kept_files()
        print(f"{cache_folder()}: {sum(file.size for file in held):,} bytes")
        for file in held:
            entries = "" if file.entries is None else f", {file.entries:,} entries"
            print(f"  {file.name}: {file.size:,} bytes{entries}")
        if options.clear:
            clear_cache()
            _tell(f"deleted {len(held)} files")
    except (OSError, RuntimeError) as error:
        raise InputError(f"the cache cannot be used: {error}") from error
    return 0


def _load(options: argparse.Namespace) -> "Delegator":
    from .artifact import load
    from .registry import enrich, enrichment_next_to

    path, registry = _registry(options)
    additions = options.enrichment
    if additions is None and (additions := enrichment_next_to(path)):
        _tell(f"{additions} is applied to the agents; --enrichment none leaves it out")
    if additions is not None and additions != "none":
        registry = enrich(registry, additions)
    return load(
        options.program,
        registry,
        lm=None if options.no_lm else options.lm,
        embedder=options.embedder,
        allow_uncalibrated=options.allow_uncalibrated,
        target_precision=options.target_precision,
        on_lm_failure=options.on_lm_failure,
        timeout=options.timeout,
    )


def _registry(options: argparse.Namespace) -> "tuple[Path, Registry]":
    from .errors import InputError
    from .registry import Registry

    if options.agents is None and not _AGENTS.is_file():
        raise InputError("--agents is missing: name a JSON file of agents")
    path = Path(options.agents or _AGENTS)
    return path, Registry.load(path)


def _permissions(options: argparse.Namespace) -> frozenset[str] | None:
    if options.permissions is None:
        return None
    return names_in(options.permissions)


def _read_tasks(path: str) -> list[tuple[int, str]]:
    from .delegator import check_task
    from .errors import InputError
    from .feedback import read_jsonl

    tasks = []
    for number, row in read_jsonl(path):
        task = row.get("task") if isinstance(row, dict) else row
        if not isinstance(task, str):
            raise InputError(f'{path}: line {number}: expected {{"task": "..."}} or a string')
        try:
            check_task(task)
        except InputError as error:
            raise InputError(f"{path}: line {number}: {error}") from error
        tasks.append((number, task))
    return tasks


def seconds(text: str) -> float | None:
    """Return a positive number of seconds, None for ``none``."""
    if text == "none":
        return None
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number of seconds, or none")
    return number


def rate(text: str) -> float:
    """Return a number in (0, 1]."""
    try:
        rate = float(text)
    except ValueError:
        rate = -1.0
    if not 0 < rate <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0 and at most 1")
    return rate


def parser() -> argparse.ArgumentParser:
    """Return the parser of all commands.

    Long because every option of every command stands here once.
    """
    whole = argparse.ArgumentParser(
        prog="task-delegator",
        description="Delegate tasks in plain words to the right agent of a registry.",
    )
    commands = whole.add_subparsers(required=True, metavar="COMMAND")

    program = argparse.ArgumentParser(add_help=False)
    program.add_argument(
        "--agents",
        metavar="FILE",
        help=f"the registry: a JSON list of agents, or what import reads; default: {_AGENTS}, if "
        "it exists",
    )
    program.add_argument(
        "--enrichment",
        metavar="FILE",
        help="additions to the agents; none for no additions; "
        "default: enrichment.json next to the registry, if it exists",
    )
    program.add_argument(
        "--program", default="default", help="name or folder of a compiled program"
    )
    program.add_argument(
        "--permissions",
        metavar="A,B",
        help="permissions of the caller, separated by commas; default: all agents are permitted",
    )
    program.add_argument(
        "--lm",
        metavar="SPEC",
        default=os.environ.get("TASK_DELEGATOR_LM") or None,
        help="LM for tasks of low confidence: embedded, embedded:FILE.gguf or provider/model; "
        "default: TASK_DELEGATOR_LM, else no LM",
    )
    program.add_argument("--no-lm", action="store_true", help="use no LM")
    program.add_argument(
        "--on-lm-failure",
        choices=["degrade", "raise"],
        default="degrade",
        help="if the LM fails: degrade to the decision without it, or raise an error; "
        "default: degrade",
    )
    program.add_argument(
        "--timeout",
        type=seconds,
        metavar="SECONDS",
        default=60.0,
        help="for all LM calls of one task together; none for no limit; default: 60",
    )
    program.add_argument(
        "--embedder",
        metavar="SPEC",
        default=os.environ.get("TASK_DELEGATOR_EMBEDDER") or None,
        help="default: TASK_DELEGATOR_EMBEDDER, else the embedder of the program",
    )
    program.add_argument(
        "--allow-uncalibrated",
        action="store_true",
        help="assign tasks even if the confidence is not calibrated for this registry",
    )
    program.add_argument(
        "--target-precision",
        type=rate,
        metavar="P",
        help="aim at this precision of assigned tasks, above 0 and at most 1; "
        "default: the one the program was compiled for",
    )

    delegate = commands.add_parser("delegate", parents=[program], help="delegate one task")
    delegate.add_argument("task", help="the task in plain words")
    delegate.add_argument(
        "--plan", action="store_true", help="split the task if it needs several agents"
    )
    add_wishes(delegate)
    delegate.add_argument("--json", action="store_true", help="print the whole result as JSON")
    delegate.set_defaults(run=_delegate)

    batch = commands.add_parser("batch", parents=[program], help="delegate a file of tasks")
    batch.add_argument(
        "tasks", help='JSONL file of tasks, {"task": "..."} or a string per line; - for stdin'
    )
    batch.add_argument("out", help="JSONL file to write, one delegation per line")
    batch.set_defaults(run=_batch)

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
    feedback.set_defaults(run=_feedback)

    cache = commands.add_parser("cache", help="say what is kept on this machine, or delete it")
    cache.add_argument("--clear", action="store_true", help="delete it; it is made again on demand")
    cache.set_defaults(run=_cache)

    lint = commands.add_parser("lint", help="report weaknesses of a registry")
    lint.add_argument("--agents", metavar="FILE", required=True, help="the registry")
    lint.set_defaults(run=_lint)
    add_commands(commands, _tell)
    return whole


if __name__ == "__main__":
    sys.exit(main())
