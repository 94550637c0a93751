"""A compiled program says what it was made with; its settings are the preset's unless given."""

import json
from dataclasses import replace

import pytest
from recorded import oracle, recorded_lm
from small import ROOT, HashedWords
from tracking import empty_store

from optimize.__main__ import parser
from optimize.cli.compile import compile_options
from optimize.config import EMBEDDED_PRESETS, PRESETS, Options
from optimize.data import load_dataset
from optimize.pipeline.compile import compile_program, learn_samples
from optimize.pipeline.manifest import run_params, run_tags
from optimize.pipeline.summary import train_use
from task_delegator.delegator import Delegator
from task_delegator.errors import InputError
from task_delegator.lm import EMBEDDED_PROVIDER


def test_too_few_calls_are_refused_before_anything_is_made(dataset, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    options = Options(tmp_path / "program", optimizer="gepa")
    lm, engine = recorded_lm(oracle(dataset))
    message = r"--optimizer gepa needs at least 245 LM calls, not 200; give --max-lm-calls 245 or"
    with pytest.raises(InputError, match=message):
        compile_program(dataset, options, lm)
    assert engine.prompts == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize(("calls", "named"), [(0, None), (160, "labeled-few-shot")])
def test_manifest_and_tag_name_the_optimizer_that_ran(dataset, tmp_path, monkeypatch, calls, named):
    import mlflow
    from mlflow import artifacts

    monkeypatch.setenv("MLFLOW_TRACKING_URI", empty_store(tmp_path))
    monkeypatch.setattr("optimize.pipeline.compile.embedder", lambda spec: HashedWords())
    lm, _ = recorded_lm(oracle(dataset))
    options = Options(
        tmp_path / "program", optimizer="labeled-few-shot", trials=1, max_lm_calls=calls,
        target_precision=1.0, traces=0,
    )  # fmt: skip
    compiled = compile_program(dataset, options, lm)
    manifest = json.loads((tmp_path / "program" / "manifest.json").read_text())
    assert manifest["optimizer"] == named
    data = mlflow.get_run(compiled.run_id).data
    assert data.tags["optimizer"] == (named or "none")
    assert {name: data.params[name] for name in ("trials", "max_lm_calls")} == {
        "trials": "1", "max_lm_calls": str(calls),
    }  # fmt: skip
    asked = {"test_n": len(dataset.splits["test"])} | ({"test_lm_n": 5} if calls else {})
    assert {name: n for name, n in data.metrics.items() if name.endswith("_n")} == asked
    config = artifacts.load_dict(f"runs:/{compiled.run_id}/config.json")
    assert config["lm_test_limit"] == "5"


@pytest.mark.parametrize(
    "given",
    [
        ["--delta", "0.2"],
        ["--out-of-scope-share", "0.5"],
        ["--ask-share", "0.1"],
        ["--no-enrichment"],
        ["--target-precision", "0.9"],
        ["--seed", "1"],
    ],
)
def test_what_changes_the_result_is_a_param_of_the_run(given):
    def params(*arguments):
        parsed = parser().parse_args(["compile", "--data", str(ROOT / "datasets"), *arguments])
        data = load_dataset(parsed.data, enriched=parsed.enriched)
        tags = run_tags("compile", data, optimizer="none", lm=None, embedder=parsed.embedder)
        config = compile_options(parsed).resolved(has_lm=False)
        return run_params(config, tags, data, 0)

    assert params(*given) != params()


def test_a_compilation_warns_of_requests_that_stand_in_two_splits(dataset, tmp_path, caplog):
    repeated = (*dataset.splits["test"], dataset.splits["validation"][0])
    leaky = replace(dataset, splits=dataset.splits | {"test": repeated})
    with pytest.raises(InputError):  # of an embedder: what is warned of comes before any work
        compile_program(leaky, Options(tmp_path / "program", embedder="x"), None)
    (warned,) = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    assert "stand twice: 1, with another label elsewhere: 0; " in warned
    assert "python -m optimize.data check" in warned


def test_the_makefile_compiles_the_program_that_ships(monkeypatch):
    for name in ("TASK_DELEGATOR_LM", "TASK_DELEGATOR_EMBEDDER", "TASK_DELEGATOR_RERANKER"):
        monkeypatch.delenv(name, raising=False)
    recipe = (ROOT / "Makefile").read_text().split("\ncompiled:")[1].splitlines()[1]
    parsed = parser().parse_args(recipe.split(" -m optimize ")[1].split())
    config = compile_options(parsed).resolved(has_lm=False)
    assert parsed.no_lm
    manifest = json.loads((ROOT / config.out / "manifest.json").read_text())
    assert parsed.data == manifest["dataset"]["path"]
    assert config.embedder == manifest["embedder"]["spec"]
    assert manifest["lm"] is None
    names = ("preset", "optimizer", "teacher", "trials", "max_lm_calls", "samples_from_train")
    for name in (*names, "target_precision", "seed"):
        assert getattr(config, name) == manifest[name], name


def test_what_is_left_open_is_the_preset_s(tmp_path):
    config = Options(tmp_path, preset="full").resolved(has_lm=True)
    assert (config.trials, config.max_lm_calls, config.lm_test_limit) == (300, 600, 100)
    given = Options(tmp_path, trials=7, max_lm_calls=150).resolved(has_lm=True)
    assert (given.trials, given.max_lm_calls, given.optimizer) == (7, 150, "bootstrap")
    for calls, has_lm in ((0, True), (150, False)):
        without = Options(tmp_path, max_lm_calls=calls).resolved(has_lm)
        assert (without.max_lm_calls, without.optimizer) == (0, None)


def test_the_page_says_how_many_test_requests_the_lm_is_asked():
    page = (ROOT / "docs" / "compile.md").read_text()
    quick, full = (PRESETS[name].lm_test_limit for name in ("quick", "full"))
    assert f"`quick` evaluates on {quick} test requests" in page
    assert f"`full` on {full} " in page
    assert EMBEDDED_PRESETS["quick"].lm_test_limit == quick


def test_a_line_tells_what_train_requests_are_used_for(dataset):
    agents = len({request.expected for request in dataset.splits["train"]})
    total = len(dataset.splits["train"])
    none, some, whole = (train_use(dataset, n) for n in (0, 2, 3))
    assert none.startswith(f"train requests: 0 are samples of the program, {total} only find")
    assert f"{2 * agents} are samples" in some
    assert some.endswith("--samples-from-train 3 uses all")
    assert whole.endswith(f"{total} are samples of the program, 0 only find starting weights")


def test_train_requests_become_samples(dataset):
    learned = learn_samples(dataset, 2)
    assert {len(texts) for texts in learned.values()} == {2}
    assert learn_samples(dataset, 0) == {}

    program = Delegator(dataset.registry)
    program.retrieve.learned.values = learned
    name, texts = next(iter(learned.items()))
    assert program(texts[0]).top3[0].name == name


@pytest.mark.parametrize(("model", "seconds"), [("recorded/model", 60.0), ("embedded/any", None)])
def test_no_task_is_too_late_for_an_lm_that_this_processor_serves(
    dataset, tmp_path, monkeypatch, model, seconds
):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    monkeypatch.setattr("optimize.pipeline.compile.embedder", lambda spec: HashedWords())
    made = []

    class StoppedError(Exception):
        pass

    def stop(context):
        made.append(context.program.timeout)
        raise StoppedError

    monkeypatch.setattr("optimize.pipeline.compile._compile", stop)
    lm, _ = recorded_lm(oracle(dataset))
    lm.model = model.replace("embedded", EMBEDDED_PROVIDER)
    with pytest.raises(StoppedError):
        compile_program(dataset, Options(tmp_path / "program", trials=1), lm)
    assert made == [seconds]
