"""The commands of ``python -m optimize``: one after the other, and bad input."""

import json
import shutil

import pytest
from rerankers import made_reranker
from small import ROOT, small_dataset
from tracking import empty_store

from optimize.__main__ import main, parser
from optimize.cli.common import refuse_both
from optimize.cli.evaluate import embedders_of, rerankers_of
from task_delegator.embedders import DEFAULT
from task_delegator.rerankers import CrossEncoder


@pytest.mark.slow
def test_compile_evaluate_and_calibrate_from_the_command_line(tmp_path, monkeypatch, capsys):
    import mlflow

    monkeypatch.setenv("MLFLOW_TRACKING_URI", empty_store(tmp_path))
    monkeypatch.chdir(tmp_path)
    data = str(small_dataset(tmp_path / "data"))
    compiled = ["compile", "--data", data, "--no-lm", "--trials", "5", "--out", "program"]
    assert main(compiled) == 0
    assert "| test |" in capsys.readouterr().out
    assert main(["evaluate", "program", "--data", data, "--no-lm", "--json", "-"]) == 0
    report = json.loads(capsys.readouterr().out)
    manifest = json.loads((tmp_path / "program" / "manifest.json").read_text())
    for key in ("n", "top1", "top3", "ece", "recall_at_k", "decisions", "oos_auroc"):
        assert report[key] == manifest["scores"]["test"][key]

    runs = mlflow.search_runs(experiment_names=["task-delegator"], output_format="list")
    parents = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    assert [run.info.run_id for run in parents] == [manifest["mlflow_run_id"]]
    assert len(runs) == 1
    assert parents[0].data.metrics["test_top1"] == round(report["top1"], 4)
    inputs = parents[0].inputs
    assert inputs is not None
    names = {entry.dataset.name for entry in inputs.dataset_inputs}
    assert names == {"data:train", "data:validation", "data:test"}
    files = {f.path for f in mlflow.MlflowClient().list_artifacts(manifest["mlflow_run_id"])}
    assert {"program", "plots", "tables"} <= files

    other = str(small_dataset(tmp_path / "other", agents=11))
    registry = json.loads((tmp_path / "other" / "agents.json").read_text())
    for agent in registry[:2]:  # of eleven that were not calibrated for
        agent["description"] += " On Sundays too."
    (tmp_path / "other" / "agents.json").write_text(json.dumps(registry))
    assert main(["evaluate", "program", "--data", other, "--no-lm", "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["decisions"]["assign"] == 0
    calibrated = ["calibrate", "program", "--data", other, "--out", "again"]
    assert main([*calibrated, "--target-precision", "0.8"]) == 0
    capsys.readouterr()
    assert main(["evaluate", "again", "--data", other, "--no-lm", "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["decisions"]["assign"] > 0


@pytest.mark.slow
def test_a_program_is_evaluated_with_the_confidence_that_agents_get_without_labels(
    tmp_path, capsys
):
    data = str(small_dataset(tmp_path / "data"))
    agents = json.loads((tmp_path / "data" / "agents.json").read_text())
    for agent in agents:  # others than those that it was compiled for
        agent["description"] += " On Sundays too."
    (tmp_path / "data" / "agents.json").write_text(json.dumps(agents))
    common = ["evaluate", "default", "--data", data, "--no-lm", "--limit", "20", "--json", "-"]
    assert main(common) == 0
    assert json.loads(capsys.readouterr().out)["decisions"]["assign"] == 0
    for way in ("self", "transfer"):
        assert main([*common, "--calibrate", way]) == 0
        report = json.loads(capsys.readouterr().out)
        assert report["decisions"]["assign"] > 0
        assert report["precision_assigned"] > 0.8


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["evaluate", "default", "--data", "nowhere", "--no-lm"], "nowhere: no such directory"),
        (["compile", "--data", "nowhere", "--no-lm"], "nowhere: no such directory"),
        (["search", "--data", "nowhere"], "nowhere: no such directory"),
        (["calibrate", "default", "--data", "nowhere"], "nowhere: no such directory"),
        (["compile", "--no-lm", "--out", str(ROOT)], "exists and is no compiled program"),
        (["calibrate", "default", "--out", str(ROOT / "datasets")], "is no compiled program"),
        (["compile", "--no-lm", "--lm", "openai/x"], "leave out one of the two"),
        (["compile", "--lm", "embedded", "--no-lm"], "leave out one of the two"),
        (["evaluate", "default", "--no-lm", "--lm", "openai/x"], "leave out one of the two"),
        (["promote", "default", "--no-lm", "--lm", "openai/x"], "leave out one of the two"),
        (["evaluate", "default", "--no-lm", "--gate-open"], "leave out --no-lm"),
        (["evaluate", "nowhere", "--no-lm"], "no compiled program"),
        (["evaluate", "default", "--no-lm", "--embedder", "x"], "unknown embedder 'x'"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_two(capsys, monkeypatch, arguments, message):
    monkeypatch.chdir(ROOT)
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.strip().splitlines()) == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["compile", "--max-lm-calls", "-1"],
        ["compile", "--trials", "0"],
        ["compile", "--samples-from-train", "-1"],
        ["evaluate", "default", "--limit", "0"],
        ["evaluate", "default", "--seed", "x"],
        ["calibrate", "default", "--target-precision", "2"],
    ],
)
def test_numbers_out_of_bounds_are_refused(capsys, arguments):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert arguments[-2] in capsys.readouterr().err


@pytest.mark.parametrize("command", ["joint", "synthesize", "enrich"])
def test_commands_that_need_an_lm_do_not_offer_to_do_without(capsys, command):
    with pytest.raises(SystemExit) as caught:
        main([command, "--no-lm"])
    assert caught.value.code == 2
    assert "unrecognized arguments: --no-lm" in capsys.readouterr().err


def test_the_lm_of_the_environment_is_no_contradiction(monkeypatch):
    monkeypatch.setenv("TASK_DELEGATOR_LM", "openai/x")
    options = parser().parse_args(["compile", "--no-lm"])
    refuse_both(options)
    assert options.lm == "openai/x"


def test_an_unknown_agent_in_a_label_is_exit_code_two(tmp_path, capsys):
    (tmp_path / "agents.json").write_text('[{"name": "A"}]')
    (tmp_path / "train.json").write_text('[{"expected_agent_name": "B", "user_requests": ["x"]}]')
    assert main(["compile", "--data", str(tmp_path), "--no-lm", "--out", str(tmp_path / "p")]) == 2
    assert "no agent is named 'B'" in capsys.readouterr().err


def test_two_programs_take_the_embedder_that_each_was_compiled_with(tmp_path):
    other = tmp_path / "other"
    shutil.copytree(ROOT / "program" / "task_delegator" / "compiled" / "default", other)
    manifest = json.loads((other / "manifest.json").read_text())
    manifest["embedder"]["spec"] = "mpnet"
    (other / "manifest.json").write_text(json.dumps(manifest))
    both = ["default", str(other)]
    assert embedders_of(both, []) == [None, None]
    assert embedders_of(both, ["mpnet"]) == [None, "mpnet"]
    assert embedders_of(both, [DEFAULT, "mpnet"]) == [DEFAULT, "mpnet"]
    assert embedders_of(both, ["e5"]) == ["e5", "e5"]  # which loading refuses
    assert embedders_of(["default"], ["mpnet"]) == ["mpnet"]


@pytest.mark.slow
def test_each_of_two_programs_takes_the_reranker_that_it_was_compiled_with(tmp_path):
    first, second = (made_reranker(tmp_path / f"{i}", seed=i) for i in (1, 2))
    programs = []
    for number, held in enumerate((first, second, None)):
        folder = tmp_path / f"program {number}"
        shutil.copytree(ROOT / "program" / "task_delegator" / "compiled" / "default", folder)
        manifest = json.loads((folder / "manifest.json").read_text())
        if held is not None:
            manifest["reranker"] = {"spec": "moved since", "id": CrossEncoder(str(held)).id}
        (folder / "manifest.json").write_text(json.dumps(manifest))
        programs.append(str(folder))
    ids = [CrossEncoder(str(folder)).id for folder in (first, second)]

    def named(*specs):
        return [getattr(own, "id", own) for own in rerankers_of(programs, [*map(str, specs)])]

    assert named(second, first) == [*ids, ids[1]]
    assert named(first) == [str(first)] * 3  # which loading refuses for the second
    assert named() == [None] * 3
