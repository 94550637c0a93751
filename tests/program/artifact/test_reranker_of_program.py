"""A program that uses a reranker is loaded with that one, which the caller names."""

import json
import logging
import shutil

import pytest
from rerankers import SharedWords, made_reranker
from small import ROOT

from task_delegator.artifact import MANIFEST, load, read_manifest, save, self_calibrated_manifest
from task_delegator.batch.run import program_digest
from task_delegator.calibration import SelfCalibration
from task_delegator.cli import main
from task_delegator.errors import ProgramError
from task_delegator.rerankers import CrossEncoder

pytestmark = pytest.mark.slow  # programs are compiled and saved

AGENTS = ROOT / "datasets" / "agents.json"
TASK = "I was billed twice for May"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return made_reranker(tmp_path_factory.mktemp("reranker") / "made")


@pytest.fixture(scope="module")
def folder(tmp_path_factory, model):
    """Return the shipped program with a reranker that has a weight."""
    own = CrossEncoder(str(model))
    program = load("default", AGENTS, reranker=own)
    program.knobs.set({"retrieval.rerank": 0.3})
    held = {"reranker": {"spec": str(model), "id": own.id}}
    manifest = json.loads(
        (ROOT / "program" / "task_delegator" / "compiled" / "default" / MANIFEST).read_text()
    )
    path = tmp_path_factory.mktemp("program") / "made"
    save(program, path, manifest | held)
    return path


@pytest.fixture
def changed(folder, tmp_path):
    """Return a function that copies the program with another entry in its manifest."""

    def change(held):
        shutil.copytree(folder, tmp_path / "copy")
        path = tmp_path / "copy" / MANIFEST
        path.write_text(json.dumps(json.loads(path.read_text()) | {"reranker": held}))
        return tmp_path / "copy"

    return change


def test_a_saved_program_gives_the_same_answers_when_it_is_loaded(folder, model, tmp_path):
    program = load(folder, AGENTS, reranker=str(model))
    first = program(TASK)
    assert len(first.evidence.retrieval.reranker_scores) == 10
    save(program, tmp_path / "again", read_manifest(folder))
    second = load(tmp_path / "again", AGENTS, reranker=CrossEncoder(str(model)))(TASK)
    assert second.top3 == first.top3
    assert second.evidence == first.evidence


def test_its_manifest_opens_no_reranker(folder, model):
    with pytest.raises(ProgramError) as caught:
        load(folder, AGENTS)
    own = CrossEncoder(str(model)).id
    assert f"compiled with reranker {own}, not none; use --reranker {model}"[:150] in str(
        caught.value
    )


def test_another_reranker_is_refused(folder, model):
    with pytest.raises(ProgramError, match=r"compiled with reranker reranker:\w+, not other; use"):
        load(folder, AGENTS, reranker=SharedWords("other"))


def test_a_program_that_names_no_reranker_cannot_use_one(changed):
    with pytest.raises(ProgramError, match="names no reranker, and the program uses one"):
        load(changed(None), AGENTS, reranker=SharedWords())


def test_a_program_without_a_weight_needs_none(caplog):
    own = SharedWords()
    with caplog.at_level(logging.INFO):
        program = load("default", AGENTS, reranker=own)
    assert "uses no reranker; shared-words is not asked" in caplog.text
    assert program(TASK).top3 == load("default", AGENTS)(TASK).top3
    assert own.read == []


@pytest.mark.fault(
    "hostile content", "the reranker in a manifest", holds="Shown on one line, never opened."
)
@pytest.mark.parametrize("name", ["evil\nid", "\x1b[2Jx", "x" * 5000])
def test_what_a_manifest_says_is_shown_on_one_line(changed, name):
    with pytest.raises(ProgramError) as caught:
        load(changed({"spec": name, "id": name}), AGENTS)
    assert "\n" not in str(caught.value)
    assert "\x1b" not in str(caught.value)
    assert len(str(caught.value)) < 1100


def test_a_command_takes_it_from_an_option_or_the_environment(folder, model, capsys, monkeypatch):
    command = ["delegate", TASK, "--agents", str(AGENTS), "--program", str(folder), "--json"]
    assert main([*command, "--reranker", str(model)]) == 0
    named = json.loads(capsys.readouterr().out)
    assert named["evidence"]["retrieval"]["reranker_scores"]
    monkeypatch.setenv("TASK_DELEGATOR_RERANKER", str(model))
    assert main(command) == 0
    assert json.loads(capsys.readouterr().out)["top3"] == named["top3"]
    monkeypatch.delenv("TASK_DELEGATOR_RERANKER")
    assert main(command) == 2
    assert "use --reranker" in capsys.readouterr().err


def test_a_program_that_calibrated_itself_keeps_the_reranker(folder, model):
    before = read_manifest(folder)
    program = load(folder, AGENTS, reranker=str(model))
    made = SelfCalibration({}, 30, 1.0, 1.0, 1.0, 0.0)
    assert self_calibrated_manifest(program, made, before)["reranker"] == before["reranker"]


def test_a_batch_goes_on_with_the_same_reranker_alone():
    one, other = (load("default", AGENTS, reranker=SharedWords(name)) for name in ("a", "b"))
    assert program_digest(one) != program_digest(other)
