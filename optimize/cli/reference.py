"""``docs/cli.md``: every command and option, written from the parsers.

``python -m optimize.cli.reference`` writes it; a test compares.
"""

import argparse
import os
from collections.abc import Collection, Iterator
from pathlib import Path

from optimize.__main__ import parser as optimize_parser
from task_delegator.cli import parser as package_parser
from task_delegator.system import write_text

FILE = Path(__file__).parents[2] / "docs" / "cli.md"
_HEAD = """# Commands

Written from the parsers by `python -m optimize.cli.reference`. Results go to standard output,
progress and messages to standard error. Exit code 0 is success, 2 bad input, 3 a service that
cannot be reached (LM, embedder, tracking store), 130 an interruption (Ctrl-C). `batch` ends with 3
where a task failed; its row says the error. `promote` ends with 1 where nothing is promoted.
"""


def reference() -> str:
    """Return the commands of the package and of the checkout as markdown."""
    sections = [
        _HEAD,
        *_commands("task-delegator", package_parser()),
        *_commands("python -m optimize", optimize_parser()),
    ]
    return "\n".join(sections)


def _commands(program: str, parser: argparse.ArgumentParser) -> Iterator[str]:
    for action in parser._actions:
        if not isinstance(action, argparse._SubParsersAction):
            continue
        about = {choice.dest: choice.help or "" for choice in action._choices_actions}
        for name, command in action.choices.items():
            yield f"## `{program} {name}`\n\n{_sentence(about[name])}\n"
            yield "| argument | meaning | default |\n|---|---|---|"
            yield "\n".join(_rows(command)) + "\n"


def _rows(command: argparse.ArgumentParser) -> Iterator[str]:
    for action in command._actions:
        if isinstance(action, argparse._HelpAction):
            continue
        name = ", ".join(action.option_strings) or action.dest.upper()
        choices = f" (one of {', '.join(map(str, action.choices))})" if action.choices else ""
        about = (action.help or "") + choices
        shown = _sentence(about, {*map(str, action.choices or ())})
        yield f"| `{name}` | {shown} | {_default(action)} |"


def _sentence(text: str, literal: Collection[str] = ()) -> str:
    """Return a text that opens with a capital, but for a word that is written as it stands."""
    shown = text.replace("|", "\\|")
    opens = shown.partition(" ")[0].rstrip(":,")
    return shown if opens in literal else shown[:1].upper() + shown[1:]


def _default(action: argparse.Action) -> str:
    if action.required:
        return "required"
    if action.nargs == 0 or action.default in (None, argparse.SUPPRESS, (), []):
        return ""
    if isinstance(action.default, list | tuple):
        return " ".join(map(str, action.default))
    return str(action.default)


if __name__ == "__main__":
    for name in ("TASK_DELEGATOR_LM", "TASK_DELEGATOR_EMBEDDER"):
        os.environ.pop(name, None)
    write_text(FILE, reference())
