"""A result file says what it takes to get its rows again."""

import csv
import hashlib
import inspect
import io
import json
import sys
from collections import Counter

import numpy as np
import pytest
from small import small_dataset

from experiments import __main__ as command
from experiments import studies
from experiments.studies import ablation, samples, scaling
from experiments.support import results
from experiments.support.subregistries import draw_subregistries, keep_requests
from optimize.data.dataset import Request, load_dataset
from task_delegator.embedders import embedder
from task_delegator.errors import InputError, LMError
from task_delegator.registry.agents import Agent
from task_delegator.retrieval import CHANNELS


def test_a_result_holds_commit_constants_versions_and_digests(tmp_path, monkeypatch):
    monkeypatch.setattr(results, "FOLDER", tmp_path)
    config = results.constants(scaling)
    older = results.save("scaling", "0" * 12, config, [{"top1": 0.5}], 1.0)
    path = results.save("scaling", "1" * 12, config, [{"top1": 0.6}], 2.0)
    saved = json.loads(path.read_text())
    assert saved["commit"] == "1" * 12
    assert saved["config"]["draws"] == 20
    assert saved["config"]["large"][-1] == 10_000
    assert saved["versions"]["dspy"]
    assert len(saved["models"]["adapter"]) == len(saved["models"]["program"]) == 64
    assert saved["models"]["embedder"] == embedder().id
    assert not older.exists()
    assert results.latest("scaling") == saved


@pytest.mark.parametrize("name", studies.names())
def test_the_committed_result_says_how_to_get_it_again(name):
    [path] = results.FOLDER.glob(f"{name}-*.json")
    saved = json.loads(path.read_text())
    assert path.stem == f"{name}-{saved['commit']}"
    assert len(saved["commit"]) == 12
    assert saved["experiment"] == name
    assert saved["rows"]
    assert saved["seconds"] > 0
    assert saved.keys() >= {"config", "python"}
    assert saved["versions"].keys() >= {"dspy", "optuna", "mlflow", "scikit-learn", "numpy"}
    assert saved["data"]["datasets"]
    assert saved["models"].keys() >= {"program", "adapter", "embedder"}


def test_a_study_that_cannot_run_returns_the_exit_code_of_its_error(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["experiments", "languages", "--quick"])
    for error, code in ((InputError("no file"), 2), (LMError("no server"), 3)):

        def fail(quick, error=error):
            raise error

        monkeypatch.setattr(command.studies.study("languages"), "run", fail)
        assert command.main() == code
        assert f"experiments languages: {error}" in capsys.readouterr().err


def test_the_command_lists_every_study_for_make(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["experiments", "--list"])
    assert command.main() == 0
    assert sorted(capsys.readouterr().out.split()) == studies.names()
    assert "default" in studies.names()


@pytest.mark.parametrize("name", studies.names())
def test_a_study_is_a_question_with_a_run_a_table_and_a_short_answer(name):
    question, setting = studies.question(name)
    assert question.endswith("?")
    assert setting
    study = studies.study(name)
    assert list(inspect.signature(study.run).parameters) in (["quick"], ["quick", "lm"])
    rows = results.rows(name)
    assert study.table(rows).count("|---|") >= 1
    assert 0 < len(study.answer(rows).split()) <= 15


def test_the_csv_holds_every_row_and_value_of_scaling():
    rows = results.rows("scaling")
    saved = list(csv.DictReader(io.StringIO(scaling.sheet(rows))))
    assert len(saved) == len(rows)
    for given, row in zip(saved, rows, strict=True):
        assert float(given["top1"]) == row["top1"]
        assert float(given["top1_ci95_high"]) == row["top1_ci95"][1]
        assert float(given["versus_70_difference"]) == row["versus_70"]["difference"]


def test_a_second_language_model_is_named_with_its_digest(tmp_path, monkeypatch):
    model = tmp_path / "strong.gguf"
    model.write_bytes(b"GGUF")
    monkeypatch.setenv("TASK_DELEGATOR_SECOND_LM", str(model))
    assert results.models()["strong.gguf"] == hashlib.sha256(b"GGUF").hexdigest()


def test_every_agent_is_in_as_many_draws():
    agents = [Agent(name=f"a{n}", domain=f"d{n % 5}") for n in range(70)]
    for size in (10, 20, 35, 50):
        drawn = list(draw_subregistries(agents, size, 20, family=False))
        assert {len(registry) for registry in drawn} == {size}
        assert all(len({a.name for a in registry}) == size for registry in drawn)
        times = Counter(agent.name for registry in drawn for agent in registry)
        assert min(times[agent.name] for agent in agents) >= 20


def test_families_stand_together_in_draws_of_families():
    agents = [Agent(name=f"a{n}", domain=f"d{n % 5}") for n in range(70)]
    for registry in draw_subregistries(agents, 14, 20, family=True):
        assert len({agent.domain for agent in registry}) == 1


def test_a_request_is_asked_where_its_agent_is():
    requests = [Request("one", ("a", "b")), Request("two", ("b",)), Request("three", ("b", "c"))]
    assert keep_requests(requests, ["b", "c"]) == {
        requests[1]: requests[1],
        requests[2]: requests[2],
    }
    assert keep_requests(requests, ["a"]) == {requests[0]: Request("one", ("a",))}


def test_the_baselines_of_scaling_give_one_channel_all_weight():
    knobs = scaling._single_channel("bm25", bm25_k1=0.6).retrieval
    assert (knobs.bm25, knobs.bm25_k1) == (1.0, 0.6)
    assert {getattr(knobs, channel) for channel in CHANNELS if channel != "bm25"} == {0.0}


def test_samples_are_those_of_the_registry_then_those_of_train(tmp_path):
    dataset = load_dataset(small_dataset(tmp_path))
    for count in (1, 2, 50):
        for before, after in zip(
            dataset.registry, samples.with_samples(dataset, count), strict=True
        ):
            train = [r.text for r in dataset.splits["train"] if r.acceptable[0] == before.name]
            own = list(before.user_request_samples)
            assert train
            assert list(after.user_request_samples) == [*own, *train][:count]


def test_each_encoder_is_compared_with_its_like():
    first, second, third = np.array([1, 1, 2]), np.array([1, 2, 2]), np.array([1, 1, 1])
    found = {
        "BM25": second,
        "compiled": first,
        "compiled, weights fitted again": third,
        "compiled, minilm": second,
        "compiled, weights fitted again, minilm": second,
    }
    rows = {row["system"]: row for row in scaling._compared(found, dict.fromkeys(found, first), 3)}
    assert rows["compiled"]["versus_published"]["wins"] == 1
    refitted = rows["compiled, weights fitted again"]
    assert (refitted["versus_published"]["wins"], refitted["versus_compiled"]["wins"]) == (2, 1)
    assert (rows["BM25"]["versus_70"]["losses"], rows["compiled"]["versus_70"]["losses"]) == (1, 0)
    for name in ("BM25", "compiled, minilm"):
        assert "versus_published" not in rows[name]


def test_the_ablation_without_learned_weights_gives_every_channel_the_same():
    knobs = ablation.equal_weights().retrieval
    assert {getattr(knobs, channel) for channel in CHANNELS} == {1.0}
