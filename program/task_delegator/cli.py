"""The command ``task-delegator``: delegate, batch, feedback, lint."""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # imported when needed: --help is not to wait for them
    from .delegation import Plan
    from .delegator import Delegator

# DSPy would fetch a price list from the network at its first LM call.
os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return 0, or 2 on bad input."""
    parsed = _parser().parse_args(arguments)
    from .errors import DelegatorError

    try:
        code = parsed.run(parsed)
    except DelegatorError as error:
        print(f"task-delegator: {error}", file=sys.stderr)
        return 2
    if hasattr(parsed, "note"):
        print(f"task-delegator: {parsed.note}", file=sys.stderr)
    return code


def _delegate(options: argparse.Namespace) -> int:
    delegator = _load(options)
    if options.plan:
        plan = delegator.plan(options.task, permissions=_permissions(options))
        print(json.dumps(plan.to_json(), indent=1) if options.json else _lines(plan))
        return 0
    delegation = delegator(options.task, permissions=_permissions(options))
    if options.json:
        print(json.dumps(delegation.to_json(), indent=1))
        return 0
    print(f"{delegation.decision}: {delegation.agent or 'no agent'}")
    print(f"confidence {delegation.confidence:.2f}. {delegation.reason}")
    for candidate in delegation.top3:
        print(f"  {candidate.probability:6.1%}  {candidate.name}")
    return 0


def _lines(plan: "Plan") -> str:
    lines = [f"{len(plan.steps)} step(s), several needed with a probability of {plan.several:.0%}"]
    for step in plan.steps:
        waits = f" after {', '.join(map(str, step.after))}" if step.after else ""
        given = step.delegation
        lines += [
            f"{step.number}.{waits} {given.decision}: {given.agent or 'no agent'} "
            f"({given.confidence:.2f})",
            f"   {step.task}",
        ]
    return "\n".join(lines)


def _feedback(options: argparse.Namespace) -> int:
    from .agents import Registry
    from .errors import InputError
    from .feedback import Feedback, append, record

    registry = Registry.load(options.agents)
    if options.correct is not None and options.correct not in registry:
        raise InputError(f"{options.agents}: no agent is named {options.correct!r}")
    if (options.correct is None) != options.nobody:
        raise InputError("say who was right: either --correct NAME or --nobody")
    if options.delegate:
        delegation = _load(options)(options.task, permissions=_permissions(options))
        row = record(options.log, delegation, options.correct, options.source)
    else:
        row = Feedback(task=options.task, correct_agent=options.correct, source=options.source)
        append(options.log, row)
    print(row.model_dump_json())
    return 0


def _batch(options: argparse.Namespace) -> int:
    from tqdm import tqdm

    from .errors import DelegatorError, InputError

    tasks = _read_tasks(options.tasks)
    delegator = _load(options)
    out = Path(options.out)
    partial = out.with_name(out.name + ".partial")
    try:
        with partial.open("w", encoding="utf-8") as file:
            for number, task in tqdm(tasks, unit="task", delay=3):
                try:
                    delegation = delegator(task, permissions=_permissions(options))
                except DelegatorError as error:
                    where = f"{options.tasks}: line {number}"
                    raise type(error)(f"{where}: {error} (the lines before: {partial})") from error
                file.write(json.dumps(delegation.to_json()) + "\n")
        partial.replace(out)
    except OSError as error:
        raise InputError(f"{out}: cannot be written: {error.strerror}") from error
    print(f"{len(tasks)} delegations in {out}", file=sys.stderr)
    return 0


def _lint(options: argparse.Namespace) -> int:
    from .agents import Registry

    findings = Registry.load(options.agents).lint()
    for finding in findings:
        print(f"{finding.rule}: {', '.join(finding.agents)}: {finding.detail}")
    print(f"{len(findings)} findings", file=sys.stderr)
    return 0


def _load(options: argparse.Namespace) -> "Delegator":
    from .agents import Registry
    from .artifact import load
    from .enrichment import FILE, enrich

    registry = Registry.load(options.agents)
    beside = Path(options.agents).with_name(FILE)
    if options.enrichment is None and beside.is_file():
        options.enrichment = str(beside)
        options.note = f"agents completed from {beside} (see --enrichment)"
    if options.enrichment not in (None, "none"):
        registry = enrich(registry, options.enrichment)
    return load(
        options.program,
        registry,
        lm=None if options.no_lm else options.lm,
        embedder=options.embedder,
        allow_uncalibrated=options.allow_uncalibrated,
        target_precision=options.target_precision,
    )


def _permissions(options: argparse.Namespace) -> frozenset[str] | None:
    if options.permissions is None:
        return None
    return frozenset(name.strip() for name in options.permissions.split(",") if name.strip())


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


def rate(text: str) -> float:
    """Return a number above 0 and at most 1."""
    try:
        rate = float(text)
    except ValueError:
        rate = -1.0
    if not 0 < rate <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number above 0 and at most 1")
    return rate


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="task-delegator", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    program = argparse.ArgumentParser(add_help=False)
    program.add_argument(
        "--agents", default="datasets/agents.json", help="the registry, a JSON list of agents"
    )
    program.add_argument(
        "--enrichment",
        help="a file that completes the agents, or none; enrichment.json beside them if not given",
    )
    program.add_argument("--program", default="default", help="a program's name or folder")
    program.add_argument(
        "--permissions", help="the caller's, comma-separated; without it every agent is permitted"
    )
    program.add_argument(
        "--lm",
        default=os.environ.get("TASK_DELEGATOR_LM", "embedded"),
        help="embedded (default), embedded:FILE.gguf or provider/model; asked where it helps",
    )
    program.add_argument("--no-lm", action="store_true", help="retrieval alone")
    program.add_argument(
        "--embedder",
        default=os.environ.get("TASK_DELEGATOR_EMBEDDER"),
        help="the embedder, if not the one the program names",
    )
    program.add_argument(
        "--allow-uncalibrated",
        action="store_true",
        help="assign although the confidence was not calibrated for this registry",
    )
    program.add_argument(
        "--target-precision",
        type=rate,
        help="of what is assigned, above 0 to 1; the program's own if not given",
    )

    delegate = commands.add_parser("delegate", parents=[program], help="delegate one task")
    delegate.add_argument("task", help="the task in plain words")
    delegate.add_argument("--plan", action="store_true", help="split it where it needs several")
    delegate.add_argument("--json", action="store_true", help="print everything as JSON")
    delegate.set_defaults(run=_delegate)

    batch = commands.add_parser("batch", parents=[program], help="delegate a file of tasks")
    batch.add_argument("tasks", help='JSONL, {"task": "..."} or a string per line; - for stdin')
    batch.add_argument("out", help="JSONL, one delegation per line")
    batch.set_defaults(run=_batch)

    feedback = commands.add_parser(
        "feedback", parents=[program], help="record which agent was right for a task"
    )
    feedback.add_argument("task", help="the task as it was given")
    feedback.add_argument("--correct", metavar="NAME", help="the agent that was right")
    feedback.add_argument("--nobody", action="store_true", help="no agent should have had it")
    feedback.add_argument(
        "--delegate",
        action="store_true",
        help="delegate the task now and record what was said and how sure that was",
    )
    feedback.add_argument("--log", default="feedback.jsonl", help="the file to append to")
    feedback.add_argument("--source", default="", help="who says so")
    feedback.set_defaults(run=_feedback)

    lint = commands.add_parser("lint", help="report what will hurt delegation in a registry")
    lint.add_argument("--agents", required=True, help="the registry, a JSON list of agents")
    lint.set_defaults(run=_lint)
    return parser


if __name__ == "__main__":
    sys.exit(main())
