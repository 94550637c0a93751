"""A program that is compiled with a reranker: it weighs, is named, and is calibrated with it."""

import json
import logging

import pytest
from rerankers import Knowing, made_reranker
from small import HashedWords
from tracking import empty_store

from optimize.__main__ import main, parser
from optimize.cli.compile import compile_options
from optimize.config import Options
from optimize.pipeline.compile import compile_program
from task_delegator.artifact import load
from task_delegator.errors import ProgramError
from task_delegator.rerankers import CrossEncoder


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", empty_store(tmp_path))
    monkeypatch.setattr("optimize.pipeline.compile.embedder", lambda spec: HashedWords())
    return tmp_path


def requests_of(dataset):
    return [request for split in dataset.splits.values() for request in split]


@pytest.mark.slow
def test_one_that_knows_is_used_and_named(dataset, place, monkeypatch, caplog):
    knowing = Knowing(requests_of(dataset), 6.0, noise=0.0)
    monkeypatch.setattr("optimize.pipeline.compile.reranker", {"mine": knowing}.__getitem__)
    options = Options(place / "program", trials=2, traces=0, reranker="mine")
    with caplog.at_level(logging.INFO):
        compiled = compile_program(dataset, options, None)
    assert "the reranker brings +" in caplog.text
    knobs = compiled.program.knobs.values
    manifest = json.loads((place / "program" / "manifest.json").read_text())
    held = manifest["reranker"]
    assert (held["spec"], held["id"]) == ("mine", "knowing")
    assert held["weight"] == knobs.retrieval.rerank > 0
    assert knobs.scope.in_scope.rerank != 0
    loaded = load(place / "program", dataset.registry, embedder=HashedWords(), reranker=knowing)
    for request in dataset.splits["test"]:
        assert loaded(request.text).top3 == compiled.program(request.text).top3
    with pytest.raises(ProgramError, match="compiled with reranker knowing, not none"):
        load(place / "program", dataset.registry, embedder=HashedWords())


@pytest.mark.slow
def test_one_that_adds_nothing_is_not_used_and_not_needed(dataset, place, caplog):
    spec = str(made_reranker(place / "reranker", most_tokens=16))  # what it reads is no matter
    options = Options(place / "program", trials=2, traces=0, reranker=spec)
    with caplog.at_level(logging.INFO):
        compiled = compile_program(dataset, options, None)
    assert "the reranker is not used" in caplog.text
    assert compiled.program.knobs.values.retrieval.rerank == 0
    held = json.loads((place / "program" / "manifest.json").read_text())["reranker"]
    assert (held["spec"], held["id"]) == (spec, CrossEncoder(spec).id)
    loaded = load(place / "program", dataset.registry, embedder=HashedWords())
    task = dataset.splits["test"][0].text
    assert loaded(task).top3 == compiled.program(task).top3


@pytest.mark.parametrize("command", ["compile", "plans default", "calibrate default"])
def test_commands_take_a_reranker_or_that_of_the_environment(command, monkeypatch):
    monkeypatch.delenv("TASK_DELEGATOR_RERANKER", raising=False)
    words = command.split()
    assert parser().parse_args(words).reranker is None
    assert parser().parse_args([*words, "--reranker", "here"]).reranker == "here"
    monkeypatch.setenv("TASK_DELEGATOR_RERANKER", "there")
    options = parser().parse_args(words)
    assert options.reranker == "there"
    if command == "compile":
        assert compile_options(options).reranker == "there"


def test_evaluate_takes_a_reranker_of_each_program_or_that_of_the_environment(monkeypatch):
    monkeypatch.delenv("TASK_DELEGATOR_RERANKER", raising=False)
    options = parser().parse_args(["evaluate", "default"])
    assert (options.reranker, options.reranker_here) == (None, None)
    words = ["evaluate", "a", "b", "--reranker", "here", "--reranker", "there"]
    assert parser().parse_args(words).reranker == ["here", "there"]
    monkeypatch.setenv("TASK_DELEGATOR_RERANKER", "there")
    options = parser().parse_args(["evaluate", "default"])
    assert (options.reranker, options.reranker_here) == (None, "there")


def test_a_folder_that_is_no_reranker_is_one_line(dataset, place, capsys):
    command = ["compile", "--no-lm", "--data", str(dataset.path), "--out", str(place / "out")]
    assert main([*command, "--reranker", str(place)]) == 2
    assert "manifest.json is missing; name a folder" in capsys.readouterr().err
    assert not (place / "out").exists()
