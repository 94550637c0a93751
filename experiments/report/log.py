"""Write and read the entries of ``experiments/LOG.md``."""

import re
from dataclasses import dataclass
from pathlib import Path

from experiments.studies import question, study
from experiments.support.results import latest
from task_delegator.errors import InputError

LOG = Path("experiments/LOG.md")
MOST_WORDS = 120
FIELDS = ("question", "changed", "result", "decision", "commit")


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the log.

    Attributes:
        name: of the study.
        fields: text by name of the field, in order.
    """

    name: str
    fields: dict[str, str]


def entry(name: str) -> str:
    """Return an entry for a study's committed result, two fields left to write.

    Raises:
        InputError: it has no result.
    """
    result = latest(name)
    if result is None:
        raise InputError(f"{name}: no result file; run python -m experiments {name}")
    values = {
        "question": question(name)[0],
        "changed": "",
        "result": f"{study(name).answer(result['rows'])}.",
        "decision": "",
        "commit": result["commit"],
    }
    lines = [f"- *{field}*: {values[field]}".rstrip() for field in FIELDS]
    return "\n".join([f"### {name}", "", *lines])


def entries(text: str) -> list[Entry]:
    """Return the entries of a log, newest first."""
    found = []
    for block in re.split(r"(?m)^### ", text.split("\n## Retired")[0])[1:]:
        name, _, rest = block.partition("\n")
        fields = dict(re.findall(r"(?m)^- \*([a-z]+)\*: ?(.*)$", rest))
        found.append(Entry(name.strip(), fields))
    return found
