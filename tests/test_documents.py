"""The documents say what is: code that runs, commands that parse, tables, links, the tree."""

import ast
import contextlib
import io
import re
import shlex
from pathlib import Path

import pytest
from small import ROOT

from experiments.report import render
from experiments.report.faults import faults
from experiments.report.matrix import FAULTS, held
from experiments.report.status import without_status
from experiments.studies import names
from experiments.support.results import digests, latest
from optimize.__main__ import parser as optimize_parser
from optimize.cli.reference import FILE, reference
from optimize.data import OURS
from optimize.tracking.tables import HEADLINES
from task_delegator.cli import parser as package_parser

README = ROOT / "README.md"
RECIPES = ROOT / "docs" / "recipes.md"  # for packages of others: test_recipes.py runs it
DOCUMENTS = [README, *sorted((ROOT / "docs").glob("*.md"))]
RENDERED = [ROOT / path for path in render.documents()]
SECURITY = (ROOT / "docs" / "security.md").read_text()
PARSERS = {"task-delegator": package_parser, "python -m optimize": optimize_parser}


def code_blocks() -> list[tuple[Path, int, str, str | None]]:
    """Return python blocks with the output that is shown below them, if any."""
    found = []
    for path in DOCUMENTS:
        if path == RECIPES:
            continue
        blocks = re.finditer(
            r"```python\n(.*?)```(?:\n\n```text\n(.*?)```)?", path.read_text(), re.S
        )
        found += [(path, number, block[1], block[2]) for number, block in enumerate(blocks)]
    return found


def commands() -> list[tuple[str, str]]:
    """Return each command line of the documents, as (program, arguments)."""
    return [
        (program, line.removeprefix(program).strip())
        for path in DOCUMENTS
        for block in re.findall(r"```\n(.*?)```", path.read_text(), re.S)
        for line in block.splitlines()
        for program in PARSERS
        if line.startswith(program + " ")
    ]


@pytest.mark.parametrize(("path", "number", "code", "shown"), code_blocks())
def test_code_runs_and_prints_what_is_shown(path, number, code, shown):
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, f"{path.name}, block {number}", "exec"), {})
    if shown is not None:
        assert printed.getvalue() == shown


@pytest.mark.parametrize(("program", "arguments"), commands())
def test_commands_parse(program, arguments):
    words = ["DATA" if word == "..." else word for word in shlex.split(arguments)]
    PARSERS[program]().parse_args(words)


def test_the_reference_is_what_the_parsers_say(monkeypatch):
    for name in ("TASK_DELEGATOR_LM", "TASK_DELEGATOR_EMBEDDER", "TASK_DELEGATOR_RERANKER"):
        monkeypatch.delenv(name, raising=False)
    assert FILE.read_text() == reference(), "run python -m optimize.cli.reference"


@pytest.mark.parametrize("path", RENDERED, ids=lambda path: path.name)
def test_tables_are_what_the_results_say(path, monkeypatch):
    monkeypatch.chdir(ROOT)
    text = path.read_text()
    assert without_status(render.render(text)) == without_status(text), (
        "run python -m experiments.report"
    )


@pytest.mark.parametrize("path", RENDERED, ids=lambda path: path.name)
def test_every_block_has_rows_behind_it(path, monkeypatch):
    monkeypatch.chdir(ROOT)
    for name in re.findall(r"<!-- ([a-z_]+) -->", path.read_text()):
        shown = render.BLOCKS[name]().splitlines()
        assert shown, name
        assert len(shown) > 2 or not shown[0].startswith("|"), name


@pytest.mark.parametrize("name", names())
def test_the_ground_truth_is_the_one_that_was_measured(name, monkeypatch):
    monkeypatch.chdir(ROOT)
    result = latest(name)
    assert result is not None
    assert result["rows"]
    assert result["data"][OURS.name] == digests()[OURS.name]


@pytest.mark.parametrize("path", [*DOCUMENTS, ROOT / "CONTRIBUTING.md"], ids=lambda path: path.name)
def test_links_and_pictures_lead_somewhere(path):
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text()):
        assert (path.parent / target).exists(), target


@pytest.mark.parametrize("path", [*DOCUMENTS, ROOT / "CONTRIBUTING.md"], ids=lambda path: path.name)
def test_every_make_target_named_exists(path):
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"`make ([a-z-]+)`", path.read_text()):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_every_promise_names_its_tests_or_says_that_there_is_none():
    promised = SECURITY.split("## Promises")[1].split("## Not promised")[0]
    rows = [line for line in promised.splitlines() if re.match(r"\| (?!promise )", line)]
    assert len(rows) > 30
    test = r"`[a-z_/]+\.py::test_\w+`"
    bare = [row for row in rows if not re.search(rf"\| (not tested|{test}(, {test})*) \|$", row)]
    assert bare == []


@pytest.mark.parametrize("named", sorted(set(re.findall(r"`([^` ]+::[^`]+)`", SECURITY))))
def test_every_test_that_holds_a_promise_exists(named):
    path, name = named.split("::")
    tree = ast.parse((ROOT / "tests" / path).read_text(encoding="utf-8"))
    assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_the_readme_is_short():
    assert len(README.read_bytes()) <= 8192


def test_the_design_names_every_package_and_module():
    design = (ROOT / "docs" / "design.md").read_text()
    package = ROOT / "program" / "task_delegator"
    modules = {path.name for path in package.glob("*.py") if not path.name.startswith("_")}
    packages = {f"{path.parent.name}/" for path in package.glob("*/__init__.py")}
    packages |= {f"{path.parent.name}/" for path in (ROOT / "optimize").glob("*/__init__.py")}
    assert {name for name in modules | packages if name not in design} == set()


def test_the_table_of_faults_is_what_was_recorded(monkeypatch):
    monkeypatch.chdir(ROOT)
    assert faults() in (ROOT / "docs" / "lm.md").read_text(), "run python -m experiments.report"


def test_every_fault_has_a_test_and_every_mark_of_one_is_in_the_table(monkeypatch):
    monkeypatch.chdir(ROOT)
    rows = held()
    assert {row.fault for row in rows} == set(FAULTS)
    assert len({(row.fault, row.where) for row in rows}) == len(rows)
    marked = sum(
        len(re.findall(r"^ *@pytest\.mark\.fault\(", path.read_text(), re.MULTILINE))
        for path in (ROOT / "tests").rglob("*.py")
    )
    assert marked == len(rows)


def test_every_metric_of_a_run_is_explained():
    text = (ROOT / "docs" / "mlflow.md").read_text(encoding="utf-8")
    table = [line for line in text.splitlines() if line.startswith("| `")]
    for report, headlines in HEADLINES.items():
        assert f"`{report}_`" in text
        for name in headlines:
            assert any(f"`{name}`" in row.split("|")[1] for row in table), name
