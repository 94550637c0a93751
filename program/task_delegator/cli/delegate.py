"""``task-delegator delegate``: one task, or the plan for it."""

import argparse
import json
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from ..settings import check_task
from ..text import printable
from .options import load_program, permissions_of, whole_number

if TYPE_CHECKING:
    from ..delegation import Plan


def add_to(commands: Any, program: argparse.ArgumentParser) -> None:
    """Add the command to those of the command line."""
    delegate = commands.add_parser("delegate", parents=[program], help="delegate one task")
    delegate.add_argument("task", help="the task in plain words")
    delegate.add_argument(
        "--plan", action="store_true", help="split the task if it needs several agents"
    )
    _add_wishes(delegate)
    delegate.add_argument("--json", action="store_true", help="print the whole result as JSON")
    delegate.set_defaults(run=_run)


def _add_wishes(parser: argparse.ArgumentParser) -> None:
    """Add the wishes of a task as options."""
    parser.add_argument(
        "--exclude",
        metavar="NAME",
        action="append",
        default=[],
        help="never name this agent, as it was tried; may be given several times",
    )
    parser.add_argument(
        "--include",
        metavar="NAME",
        action="append",
        default=[],
        help="consider this agent however little it fits; may be given several times",
    )
    parser.add_argument(
        "--history",
        metavar="TASK",
        action="append",
        default=[],
        help="an earlier task of the same conversation, the oldest first; may be given several "
        "times",
    )
    parser.add_argument(
        "--top",
        type=whole_number(1, 999_999),
        metavar="K",
        default=3,
        help="how many agents to name; default: 3",
    )


def _run(options: argparse.Namespace) -> int:
    from ..registry import no_such_agent

    check_task(options.task)
    whom = {"exclude": options.exclude, "include": options.include}
    if options.plan and options.history:
        raise InputError("--plan reads no earlier tasks: leave out --history")
    delegator = load_program(options)
    known = delegator.registry.permitted(permissions_of(options))
    folded = {name.casefold() for name in known}
    for option, names in whom.items():
        for name in names:
            if name.casefold() not in folded:
                raise InputError(f"--{option}: {no_such_agent(name, known)}")
    if options.plan:
        plan = delegator.plan(options.task, permissions=permissions_of(options), **whom)
        print(json.dumps(plan.to_dict(), indent=1) if options.json else _lines(plan))
        return 0
    more = {"history": options.history, "k": options.top}
    delegation = delegator(options.task, permissions=permissions_of(options), **whom, **more)
    if options.json:
        print(json.dumps(delegation.to_dict(), indent=1))
        return 0
    print(f"{delegation.decision}: {printable(delegation.agent or 'no agent')}")
    sure = "confidence" if delegation.evidence.calibrated_by else "uncalibrated score"
    print(f"{sure} {delegation.confidence:.2f}. {printable(delegation.reason)}")
    if delegation.ranking:
        print("if one of the agents is right, it is")
    for candidate in delegation.ranking:
        print(f"  {candidate.probability:6.1%}  {printable(candidate.name)}")
    return 0


def _lines(plan: "Plan") -> str:
    number = "1 step" if len(plan.steps) == 1 else f"{len(plan.steps)} steps"
    lines = [f"{number}; probability that several agents are needed: {plan.several:.0%}"]
    for step in plan.steps:
        waits = f" after {', '.join(map(str, step.after))}" if step.after else ""
        given = step.delegation
        lines += [
            f"{step.number}.{waits} {given.decision}: {printable(given.agent or 'no agent')} "
            f"({given.confidence:.2f})",
            f"   {printable(step.task)}",
        ]
    return "\n".join(lines)
