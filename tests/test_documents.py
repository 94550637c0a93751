"""The documents say what is: commands, tables, layout."""

import re

import pytest
from small import ROOT

from experiments import studies
from experiments.report.render import BLOCKS, documents, render
from experiments.report.status import without_status
from experiments.support.results import digests, latest
from optimize import __main__ as optimize_main
from optimize.data.dataset import OURS
from task_delegator import cli

README = (ROOT / "README.md").read_text()


DOCUMENTS = documents()


@pytest.mark.parametrize("path", DOCUMENTS, ids=str)
def test_generated_blocks_are_what_the_results_say(path, monkeypatch):
    monkeypatch.chdir(ROOT)
    text = path.read_text()
    said = "run python -m experiments.report"
    assert without_status(render(text)) == without_status(text), said


@pytest.mark.parametrize("path", DOCUMENTS, ids=str)
def test_every_block_has_rows_behind_it(path, monkeypatch):
    monkeypatch.chdir(ROOT)
    for name in re.findall(r"<!-- ([a-z_]+) -->", path.read_text()):
        shown = BLOCKS[name]().splitlines()
        assert shown, name
        assert len(shown) > 2 or not shown[0].startswith("|"), name


@pytest.mark.parametrize("name", studies.names())
def test_the_ground_truth_is_the_one_that_was_measured(name, monkeypatch):
    monkeypatch.chdir(ROOT)
    result = latest(name)
    assert result is not None
    assert result["data"][OURS.name] == digests()[OURS.name]


@pytest.mark.parametrize("path", DOCUMENTS, ids=str)
def test_every_picture_is_there(path):
    folder = (ROOT / path).parent
    for picture in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", (ROOT / path).read_text()):
        assert (folder / picture).is_file(), picture


@pytest.mark.parametrize("target", re.findall(r"`make ([a-z-]+)`", README))
def test_every_make_target_named_exists(target):
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


def subcommands(parser):
    return set(parser._subparsers._group_actions[0].choices)


def test_every_command_is_in_the_readme_and_the_other_way_round():
    assert set(re.findall(r"^\| `task-delegator ([a-z]+)", README, re.MULTILINE)) == subcommands(
        cli._parser()
    )
    assert set(
        re.findall(r"^\| `python -m optimize ([a-z]+)", README, re.MULTILINE)
    ) == subcommands(optimize_main._parser())


def test_the_layout_names_every_module():
    for path in (ROOT / "program" / "task_delegator").glob("*.py"):
        if path.name not in ("__init__.py", "errors.py"):
            assert path.name in README, path.name


@pytest.mark.slow
def test_the_six_lines_of_python_run(monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    code = next(block for block in re.findall(r"```python\n(.*?)```", README, re.DOTALL))
    exec(compile(code, "README.md", "exec"), {})
    assert "Billing Dispute Resolver" in capsys.readouterr().out
