"""What holds at each fault, from the tests that fail where it does not.

A test says so itself: ``@pytest.mark.fault(fault, where, holds=...)``.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from experiments.support.format import markdown

TESTS = Path("tests")
FAULTS = (
    "kill -9",
    "SIGTERM",
    "power failure",
    "full disk",
    "unwritable place",
    "torn line",
    "failing LM",
    "tracking server dies",
    "broken edit",
    "half-written file",
    "two writers",
    "fork",
    "spawn",
    "cloudpickle",
    "damaged cache",
    "hostile content",
    "100 MB",
    "no regular file",
    "name with `../`",
    "number out of range",
    "look-alike name",
    "misspelled field",
    "terminal escape",
    "overload",
)


@dataclass(frozen=True)
class Held:
    """A test, and what holds at a fault as long as it passes.

    Attributes:
        fault: one of ``FAULTS``.
        where: what the fault befalls.
        holds: a sentence.
        test: its path below ``tests/`` and its name.
    """

    fault: str
    where: str
    holds: str
    test: str


def held() -> list[Held]:
    """Return what the tests hold, by fault, then by file.

    Raises:
        ValueError: a test names a fault that is not one of ``FAULTS``.
    """
    found = [row for path in sorted(TESTS.rglob("test_*.py")) for row in _of_file(path)]
    return sorted(found, key=lambda row: FAULTS.index(row.fault))


def _of_file(path: Path) -> Iterator[Held]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for test in tree.body:
        if not isinstance(test, ast.FunctionDef):
            continue
        for mark in test.decorator_list:
            if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.fault":
                fault, where = map(ast.literal_eval, mark.args)
                (holds,) = (ast.literal_eval(word.value) for word in mark.keywords)
                place = f"{path.relative_to(TESTS)}::{test.name}"
                yield Held(fault=fault, where=where, holds=holds, test=place)


def matrix() -> str:
    """Return a row for each fault and what it befalls."""
    return markdown(
        held(),
        {
            "fault": lambda row: row.fault,
            "where": lambda row: row.where,
            "what holds": lambda row: row.holds,
            "test": lambda row: f"`{row.test}`",
        },
    )
