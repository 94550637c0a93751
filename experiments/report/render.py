"""Write the documents that are made from result files: ``python -m experiments.report``.

A page for each study beside its result, and the blocks between markers of README.md,
experiments/README.md and docs/. A test fails where documents and results differ.
"""

import json
import re
from pathlib import Path
from typing import Any

from experiments.report import plots
from experiments.report.claims import CLAIMS
from experiments.report.exhibits import EXHIBITS
from experiments.report.faults import faults
from experiments.report.matrix import matrix
from experiments.report.measured import measured
from experiments.report.status import status_line, summary_line
from experiments.studies import Study, names, question, study
from experiments.support.format import markdown
from experiments.support.results import FOLDER, latest
from task_delegator.system import write_text


def documents() -> list[Path]:
    """Return the documents that may hold generated blocks."""
    return [Path("README.md"), Path("experiments/README.md"), *sorted(Path("docs").glob("*.md"))]


def main() -> None:
    """Rewrite the pages, tables of values and blocks."""
    for path in documents():
        write_text(path, render(path.read_text(encoding="utf-8")))
    for path, text in pages().items():
        write_text(path, text)


def render(text: str) -> str:
    """Return a document with its generated blocks made anew.

    Raises:
        KeyError: a marker that no block has.
    """

    def replaced(match: re.Match[str]) -> str:
        name = match["name"]
        return f"<!-- {name} -->\n{BLOCKS[name]()}\n<!-- /{name} -->"

    return re.sub(r"<!-- (?P<name>[a-z_]+) -->.*?<!-- /(?P=name) -->", replaced, text, flags=re.S)


def pages() -> dict[Path, str]:
    """Return the text of every study's page, and of the CSV where a study makes one."""
    found = {}
    for name in names():
        result = latest(name)
        if result is None:
            continue
        found[FOLDER / f"{name}.md"] = page(name, study(name), result)
        sheet = getattr(study(name), "sheet", None)
        if sheet is not None:
            found[FOLDER / f"{name}.csv"] = sheet(result["rows"])
    return found


def page(name: str, module: Study, result: dict[str, Any]) -> str:
    """Return a study's page: question, answer, setting, tables, plots, and how to repeat it."""
    asked, setting = question(name)
    rows = result["rows"]
    pictures = [f"![{file.stem}](../plots/{file.name})" for file in plots.of(name)]
    program = result["models"]["program"][:12]
    facts = (
        f"`python -m experiments {name}`, at commit {result['commit']} with the compiled program "
        f"{program}, Python {result['python']}; {result['seconds']:.0f} s without what was kept "
        "from earlier runs. Constants:"
    )
    parts = [
        f"# {name}: {asked}",
        f"**{module.answer(rows)}.**",
        status_line(name),
        setting.replace("``", "`"),
        module.table(rows),
        *pictures,
        "## Repeat",
        facts,
        f"```json\n{json.dumps(result['config'])}\n```",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def index() -> str:
    """Return one line a study: question, answer, link to its page."""
    found = [(name, study(name), latest(name)) for name in names()]
    return markdown(
        [row for row in found if row[2] is not None],
        {
            "study": lambda r: f"[{r[0]}](results/{r[0]}.md)",
            "question": lambda r: question(r[0])[0],
            "answer": lambda r: r[1].answer(r[2]["rows"]),
        },
    )


BLOCKS = {
    **CLAIMS,
    **EXHIBITS,
    "faults": faults,
    "matrix": matrix,
    "measured": measured,
    "studies": index,
    "status": summary_line,
}
