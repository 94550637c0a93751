"""The command ``task-delegator``: delegate, batch, lint."""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

# DSPy would fetch a price list from the network at its first LM call.
os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return 0, or 2 on bad input."""
    parsed = _parser().parse_args(arguments)
    from .errors import DelegatorError

    try:
        return parsed.run(parsed)
    except DelegatorError as error:
        print(f"task-delegator: {error}", file=sys.stderr)
        return 2


def _delegate(options: argparse.Namespace) -> int:
    delegation = _load(options)(options.task, permissions=_permissions(options))
    if options.json:
        print(json.dumps(delegation.to_json(), indent=1))
        return 0
    print(f"{delegation.decision}: {delegation.agent or 'no agent'}")
    print(f"confidence {delegation.confidence:.2f}. {delegation.reason}")
    for candidate in delegation.top3:
        print(f"  {candidate.probability:6.1%}  {candidate.name}")
    return 0


def _batch(options: argparse.Namespace) -> int:
    from tqdm import tqdm

    from .errors import DelegatorError, InputError

    tasks = _read_tasks(Path(options.tasks))
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


def _load(options: argparse.Namespace):  # noqa: ANN202 - Delegator, imported when needed
    from .agents import Registry
    from .artifact import load

    return load(
        options.program,
        Registry.load(options.agents),
        lm=None if options.no_lm else options.lm,
        embedder_spec=options.embedder,
        allow_uncalibrated=options.allow_uncalibrated,
    )


def _permissions(options: argparse.Namespace) -> frozenset[str] | None:
    if options.permissions is None:
        return None
    return frozenset(name.strip() for name in options.permissions.split(",") if name.strip())


def _read_tasks(path: Path) -> list[tuple[int, str]]:
    from .delegator import check_task
    from .errors import InputError

    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from error
    tasks = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise InputError(f"{path}: line {number}: broken JSON: {error.msg}") from error
        task = row.get("task") if isinstance(row, dict) else row
        if not isinstance(task, str):
            raise InputError(f'{path}: line {number}: expected {{"task": "..."}} or a string')
        try:
            check_task(task)
        except InputError as error:
            raise InputError(f"{path}: line {number}: {error}") from error
        tasks.append((number, task))
    return tasks


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="task-delegator", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    program = argparse.ArgumentParser(add_help=False)
    program.add_argument(
        "--agents", default="datasets/agents.json", help="the registry, a JSON list of agents"
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

    delegate = commands.add_parser("delegate", parents=[program], help="delegate one task")
    delegate.add_argument("task", help="the task in plain words")
    delegate.add_argument("--json", action="store_true", help="print the whole delegation as JSON")
    delegate.set_defaults(run=_delegate)

    batch = commands.add_parser("batch", parents=[program], help="delegate a file of tasks")
    batch.add_argument("tasks", help='JSONL, {"task": "..."} or a string per line')
    batch.add_argument("out", help="JSONL, one delegation per line")
    batch.set_defaults(run=_batch)

    lint = commands.add_parser("lint", help="report what will hurt delegation in a registry")
    lint.add_argument("--agents", required=True, help="the registry, a JSON list of agents")
    lint.set_defaults(run=_lint)
    return parser


if __name__ == "__main__":
    sys.exit(main())
