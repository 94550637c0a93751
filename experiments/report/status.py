"""Status of a committed result: current or stale, by what changed since it was measured."""

import ast
import subprocess
from functools import cache
from pathlib import Path
from typing import Literal

from experiments.studies import names
from experiments.support.results import latest

Status = Literal["current", "stale", "unknown"]

_ROOT = Path(__file__).parents[2]
_LINE = "Status: "
_SHARED = "experiments.support."


def status(name: str) -> Status:
    """Return whether ``program/``, the study or what it shares with others changed since.

    ``unknown`` where there is no result, no git, or a history that does not hold the commit.
    What is compared is code, not numbers: a stale result may well come out the same again.
    Comments, and docstrings of modules and functions, are no code.
    """
    result = latest(name)
    if result is None or not _git("merge-base", "--is-ancestor", result["commit"], "HEAD"):
        return "unknown"
    sources = ("program", *_sources(f"experiments/studies/{name}.py"))
    found = _git("rev-parse", "HEAD")
    head = found.stdout.strip() if found else "HEAD"
    changed = _git("diff", "--name-only", "--no-renames", result["commit"], head, "--", *sources)
    if changed is None:
        return "unknown"
    same = all(_same_code(path, result["commit"], head) for path in changed.stdout.splitlines())
    return "current" if same else "stale"


@cache
def _sources(path: str) -> tuple[str, ...]:
    """Return a file of a study, and those of ``experiments.support`` that it imports, in turn."""
    file = _ROOT / path
    if not file.is_file():
        return (path,)
    found = [path]
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(_SHARED):
            found += _sources(f"{(node.module or '').replace('.', '/')}.py")
    return tuple(dict.fromkeys(found))


def _same_code(path: str, before: str, after: str) -> bool:
    """Tell whether a file that changed between two commits is the same but for its prose."""
    if not path.endswith(".py"):
        return False
    code = _code(path, before)
    return code is not None and code == _code(path, after)


@cache
def _code(path: str, commit: str) -> str | None:
    """Return a file's syntax tree at a commit; None where it is not there.

    What DSPy's signatures say to an LM stands in docstrings of classes, which count.
    """
    text = _git("show", f"{commit}:{path}")
    if text is None:
        return None
    tree = ast.parse(text.stdout)
    for node in ast.walk(tree):
        prose = isinstance(node, ast.Module | ast.FunctionDef | ast.AsyncFunctionDef)
        if prose and ast.get_docstring(node) is not None:
            del node.body[0]
    return ast.dump(tree)


def status_line(name: str) -> str:
    """Return a study's status as a line of its page."""
    result = latest(name)
    if result is None:
        return f"{_LINE}not measured."
    reasons = {
        "current": "nothing in `program/` or the study changed since",
        "stale": "`program/` or the study changed since",
        "unknown": "what changed since is unknown",
    }
    found = status(name)
    return f"{_LINE}*{found}*: measured at {result['commit']}, {reasons[found]}."


def summary_line() -> str:
    """Return the status of all studies as one line: the most frequent names no study."""
    by_status: dict[str, list[str]] = {}
    for name in names():
        by_status.setdefault(status(name), []).append(name)
    *few, most = sorted(by_status, key=lambda found: len(by_status[found]))
    parts = [f"*{found}*: {', '.join(by_status[found])}" for found in few]
    return f"{_LINE}{'; '.join([*parts, f'*{most}*: all others' if few else f'all *{most}*'])}."


def without_status(text: str) -> str:
    """Return a document without its status lines, which age with every commit of code."""
    return "\n".join(line for line in text.split("\n") if not line.startswith(_LINE))


def _git(*arguments: str) -> subprocess.CompletedProcess[str] | None:
    """Return what git says, or None where it fails or is not there."""
    try:
        return subprocess.run(
            ["git", *arguments], cwd=_ROOT, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
