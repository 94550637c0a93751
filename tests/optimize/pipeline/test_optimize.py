import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import dspy
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from recorded import oracle, recorded_lm
from small import ROOT, HashedWords, only, public, small_dataset

from optimize.__main__ import main, parser
from optimize.calibration.confidence import calibrate, choose_features, fit_confidence
from optimize.cli.compile import compile_options
from optimize.config import PRESETS, Options
from optimize.data.dataset import Dataset, load_dataset
from optimize.evaluation.evaluate import evaluate
from optimize.evaluation.metrics import wilson
from optimize.evaluation.outcomes import select
from optimize.evaluation.report import Report
from optimize.lm_stage.budget import least_calls, plan_calls
from optimize.lm_stage.confidence import rubric_aurocs
from optimize.lm_stage.fit import (
    PromptConfig,
    Rewritten,
    choose_variant,
    collect_answers,
    opened,
    teach,
)
from optimize.pipeline.compile import compile_program, learn_samples
from optimize.prompts.optimizers import OPTIMIZERS
from optimize.search.fit import fit_temperature, fit_weights
from optimize.search.retrieval import MIN_RECALL, measure, search
from optimize.search.scored import ScoredRequests
from optimize.search.study import StudyLocation
from task_delegator.decision.confidence import Features, sigmoid
from task_delegator.decision.thresholds import choose_threshold
from task_delegator.delegator import Delegator
from task_delegator.errors import InputError
from task_delegator.knobs import KnobValues
from task_delegator.retrieval.fusion import CHANNELS
from task_delegator.retrieval.linear_head import SOFTMAX_AGENTS


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> Dataset:
    return load_dataset(small_dataset(tmp_path_factory.mktemp("data")))


@pytest.fixture(scope="module")
def scored(dataset) -> ScoredRequests:
    index = Delegator(dataset.registry).retrieve.library.index({})
    return ScoredRequests(index, dataset.splits["validation"])


# Search


def test_what_search_scores_is_what_the_program_ranks(dataset, scored):
    program = Delegator(dataset.registry)
    knobs = KnobValues().replaced(
        {
            "retrieval.k": 12,
            "retrieval.bm25": 0.3,
            "retrieval.chars": 0.4,
            "retrieval.description": 0.2,
            "retrieval.sample_best": 0.6,
            "retrieval.maxsim": 0.5,
        }
    )
    program.knobs.values = knobs
    ranks = scored.ranks(scored.fused(knobs))
    for request, rank in zip(dataset.splits["validation"], ranks, strict=True):
        assert program(request.text).evidence.ranking.index(request.expected) + 1 == rank


def test_the_fitted_temperature_is_a_maximum(scored):
    fused = scored.fused(KnobValues())
    best = fit_temperature(scored, fused)
    least = scored.log_likelihood(fused, best)
    assert all(
        scored.log_likelihood(fused, best * f) <= least + 1e-9 for f in (0.8, 0.95, 1.05, 1.2)
    )


def test_fitted_weights_are_likelier_than_any_single_channel(scored):
    fitted = measure(scored, fit_weights(scored, KnobValues())).log_likelihood
    for channel in CHANNELS:
        assert fitted >= measure(scored, only(channel)).log_likelihood


def test_search_keeps_its_trials_and_its_constraint(scored):
    knobs, trials = search(scored, [KnobValues()], trials=12, seed=1)
    assert [trial.number for trial in trials] == list(range(12))
    chosen = measure(scored, knobs)
    assert chosen.recall_at_k >= MIN_RECALL
    assert chosen.log_likelihood >= trials[0].log_likelihood or chosen.top1 > trials[0].top1
    again, _ = search(scored, [KnobValues()], trials=12, seed=1)
    assert again == knobs


def test_a_search_goes_on_where_it_stopped(scored, tmp_path):
    storage = f"sqlite:///{tmp_path}/study.db"
    _, first = search(
        scored, [KnobValues()], trials=4, seed=1, location=StudyLocation("s", storage)
    )
    _, both = search(scored, [KnobValues()], trials=7, seed=2, location=StudyLocation("s", storage))
    assert both[:4] == first
    assert len(both) == 7


def test_a_study_of_something_else_is_not_continued(scored, tmp_path):
    storage = f"sqlite:///{tmp_path}/study.db"
    search(scored, [KnobValues()], trials=1, seed=1, location=StudyLocation("s", storage, "a"))
    with pytest.raises(InputError, match="begun with other data, settings or code"):
        search(scored, [KnobValues()], trials=2, seed=1, location=StudyLocation("s", storage, "b"))


def test_a_study_is_continued_on_the_same_data_and_code_only(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("task_delegator.embedders.embedder", lambda spec: HashedWords())
    data = small_dataset(tmp_path / "data", agents=10)
    command = ["search", "--data", str(data), "--storage", f"sqlite:///{tmp_path}/study.db"]

    def trials(number: int) -> int | None:
        """Return how many trials the study has, None where it is refused."""
        if main([*command, "--trials", str(number)]):
            assert "begun with other data, settings or code" in capsys.readouterr().err
            return None
        return json.loads(capsys.readouterr().out)["trials"]

    def edited(name: str, text: str) -> None:
        before = (data / name).read_text() if (data / name).is_file() else None
        (data / name).write_text(text)
        assert trials(3) is None
        (data / name).unlink() if before is None else (data / name).write_text(before)

    assert trials(1) == 1
    rows = json.loads((data / "validation.json").read_text())
    edited("validation.json", json.dumps(rows[1:]))
    edited("train.json", "[]")
    agent = json.loads((data / "agents.json").read_text())[0]["name"]
    addition = {"agents": {agent: {"user_request_samples": ["one more"]}}}
    edited("enrichment.json", json.dumps(addition))
    with monkeypatch.context() as patch:
        patch.setattr("optimize.checkpoint.code_digest", lambda: "edited")
        assert trials(3) is None
    assert trials(2) == 2


def test_an_unusable_storage_is_refused_without_its_password(scored):
    url = "sqlite:////no/such/folder/secret.db"
    with pytest.raises(InputError, match="cannot be opened") as caught:
        search(scored, [], trials=1, seed=0, location=StudyLocation("s", url))
    assert "secret" not in str(caught.value)


# Calibration


@given(
    st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=50),
    st.floats(0.5, 1.0),
)
def test_the_threshold_keeps_its_target_with_the_greatest_coverage(rows, target):
    confidences = np.array([confidence for confidence, _ in rows])
    right = np.array([label for _, label in rows])
    promise = choose_threshold(confidences, right, target)
    threshold = 1.01 if promise.threshold is None else promise.threshold
    assigned = confidences >= threshold
    assert int(assigned.sum()) == promise.n
    if promise.n:
        assert right[assigned].mean() >= target
        assert promise.lower_bound <= right[assigned].mean()
    for lower in sorted(set(confidences[confidences < threshold])):
        assert right[confidences >= lower].mean() < target


def seen(**values) -> Features:
    return Features(**({"logit": 1.0, "margin": 1.0, "agreement": 0.5, "similarity": 0.5} | values))


def test_a_feature_that_says_nothing_is_left_out():
    rng = np.random.default_rng(1)
    features = [
        seen(margin=abs(float(x)), agreement=float(rng.random())) for x in rng.normal(size=400)
    ]
    right = np.array([rng.random() < sigmoid(2 * f.margin - 1) for f in features])
    chosen, losses = choose_features(features, right)
    assert chosen == ("margin",)
    assert losses["margin"][0] < losses["logit"][0]


def test_confidence_recovers_the_model_that_drew_it():
    rng = np.random.default_rng(0)
    features = [seen(logit=float(x)) for x in rng.normal(size=4000)]
    right = np.array([rng.random() < sigmoid(0.5 + 1.5 * f.logit) for f in features])
    knobs = fit_confidence(features, right, names=("logit",))
    assert knobs["confidence.correct.bias"] == pytest.approx(0.5, abs=0.25)
    assert knobs["confidence.correct.logit"] == pytest.approx(1.5, abs=0.2)


def test_confidence_without_an_error_is_the_smoothed_rate():
    knobs = fit_confidence([seen()] * 8, np.ones(8, dtype=bool))
    assert sigmoid(knobs["confidence.correct.bias"]) == pytest.approx(0.9)
    assert (knobs["confidence.correct.logit"], knobs["confidence.correct.margin"]) == (0.0, 0.0)


def test_calibration_needs_enough_requests(tmp_path):
    few = load_dataset(small_dataset(tmp_path, agents=5))
    with pytest.raises(InputError, match="15 validation requests; calibration needs at least 30"):
        calibrate(Delegator(few.registry, HashedWords()), few)


@pytest.mark.slow
def test_calibration_sets_what_decisions_need(dataset):
    program = Delegator(dataset.registry)
    calibration = calibrate(program, dataset, target_precision=0.9)
    knobs = program.knobs.values
    assert knobs.confidence.assign_threshold == calibration.promise.threshold
    assert len(calibration.confidences) == len(dataset.splits["validation"])
    assert 0 < (knobs.scope.threshold or 0.0) < 1
    report = evaluate(program, dataset, "test", name="x")
    assert report.oos_auroc is not None
    assert report.oos_auroc > 0.8
    # Requests that the threshold was not chosen on do not refute the promise.
    with dspy.context(lm=None):
        given = [(program(r.text), r) for r in dataset.splits["test"]]
    assigned = [d.agent in r.acceptable for d, r in given if d.decision == "assign"]
    assert len(assigned) > 10
    assert wilson(sum(assigned), len(assigned))[1] >= 0.9
    least = calibration.promise.threshold or 1.0
    assert all(d.confidence >= least for d, _ in given if d.decision == "assign")
    stricter = calibrate(program, dataset, target_precision=0.99)
    assert (stricter.promise.threshold or 1.0) >= least


# The LM


def unsure_program(dataset) -> Delegator:
    """A program with a poor embedder that would not assign anything by itself."""
    program = Delegator(dataset.registry, HashedWords())
    program.knobs.set(
        {"retrieval.k": 5, "retrieval.bm25": 0.0, "retrieval.chars": 0.0, "retrieval.maxsim": 0.0}
    )
    calibrate(program, dataset)
    program.knobs.set({"confidence.assign_threshold": 1.0})
    return program


@pytest.mark.slow
def test_an_lm_that_knows_is_listened_to_within_its_budget(dataset):
    program = unsure_program(dataset)
    lm, engine = recorded_lm(oracle(dataset))
    taught = teach(program, dataset, lm, max_lm_calls=160, seed=0)
    assert program.knobs.values.lm.gate is None  # it is returned, not set
    taught.apply(program)
    found_by_lm = taught.result
    assert found_by_lm.weight > 0
    assert found_by_lm.calls == len(engine.prompts) <= 160
    assert program.knobs.values.lm.gate == program.knobs.values.confidence.assign_threshold
    without = evaluate(program, dataset, "test", name="x")
    given = evaluate(program, dataset, "test", name="x", lm=lm)
    assert given.top1 > without.top1
    assert given.versus_no_lm is not None
    assert given.versus_no_lm["difference"] == pytest.approx(given.top1 - without.top1)
    # One that is right in either order need not be asked in both.
    assert 1 <= given.lm_calls_per_task < 2
    assert found_by_lm.second_order_margin is not None


def test_an_optimiser_that_asks_nothing_is_heard_as_well(dataset):
    lm, engine = recorded_lm(oracle(dataset))
    way = PromptConfig("labeled-few-shot")
    found_by_lm = teach(
        unsure_program(dataset), dataset, lm, max_lm_calls=160, seed=0, way=way
    ).result
    assert "optimized" in found_by_lm.gains
    assert found_by_lm.calls == len(engine.prompts) <= 160


@pytest.mark.slow
def test_an_lm_that_always_answers_the_first_slot_is_not_asked(dataset):
    program = unsure_program(dataset)
    lm, engine = recorded_lm(lambda prompt: '{"slot": "A"}')
    taught = teach(program, dataset, lm, max_lm_calls=160, seed=0)
    assert program.knobs.values.lm.gate is None  # it is returned, not set
    taught.apply(program)
    found_by_lm = taught.result
    assert (found_by_lm.weight, program.knobs.values.lm.gate) == (0.0, None)
    assert program.classify.select.demos == []
    before = len(engine.prompts)
    assert evaluate(program, dataset, "test", name="x", lm=lm).lm_calls == 0
    assert len(engine.prompts) == before
    forced = evaluate(opened(program), dataset, "test", name="x", lm=lm, limit=10)
    assert forced.lm_calls == 20
    assert forced.slot_flip_rate == 1.0


@pytest.fixture(scope="module")
def unsure(dataset) -> Delegator:
    return unsure_program(dataset)


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_is_run_or_refused_before_the_lm_is_asked(
    dataset, unsure, name, preset, monkeypatch
):
    ran = []

    def run(student, brief):
        ran.append(brief.calls)
        return student

    row = replace(OPTIMIZERS[name], compile=run, read_candidates=lambda done: [])
    monkeypatch.setitem(OPTIMIZERS, name, row)
    lm, engine = recorded_lm(oracle(dataset))
    calls = PRESETS[preset].max_lm_calls
    least = least_calls(name, len(dataset.splits["train"]))
    settings: dict[str, Any] = {"seed": 0, "way": PromptConfig(name)}
    if calls < least:
        for too_few in (calls, least - 1):
            with pytest.raises(InputError, match=f"give --max-lm-calls {least} or --preset full"):
                teach(unsure, dataset, lm, max_lm_calls=too_few, **settings)
        assert (engine.prompts, ran) == ([], [])
        calls = least
    found_by_lm = teach(unsure, dataset, lm, max_lm_calls=calls, **settings).result
    assert len(ran) == 1
    assert found_by_lm.ran == name
    assert found_by_lm.asked >= 15


def test_the_default_optimizer_fits_every_preset_with_room(dataset):
    for preset in PRESETS.values():
        plan = plan_calls(Options(Path()).optimizer, preset.max_lm_calls, 500)
        assert plan.requests >= 20


def test_a_rubric_that_is_always_wrong_scores_zero_and_not_a_half():
    right = np.array([True] * 6 + [False] * 6)
    margin = np.where(right, 0.1, 0.9) + np.linspace(0, 0.01, 12)
    found = rubric_aurocs(margin, np.where(right, 1, 5), right)
    assert found == (0.0, 0.0, 0.0)
    assert rubric_aurocs(margin, np.ones(12), np.arange(12) == 0) is None


def test_the_variant_that_adds_most_is_chosen_if_it_adds_enough(dataset, unsure):
    lm, _ = recorded_lm(oracle(dataset))
    guessing, _ = recorded_lm(lambda prompt: '{"slot": "A"}')
    asked = dataset.splits["validation"][:15]
    good = collect_answers(unsure, asked, lm, Rewritten(ran=False)).variants["plain"]
    bad = collect_answers(unsure, asked, guessing, Rewritten(ran=False)).variants["plain"]
    chosen = choose_variant({"plain": bad, "optimized": good}, seed=0)
    assert (chosen.name, chosen.weight > 0) == ("optimized", True)
    assert set(chosen.gains) == {"plain", "optimized", "one order"}
    assert choose_variant({"plain": bad}, seed=0).weight == 0.0


def test_an_optimizer_that_did_not_run_is_not_named(dataset, unsure, caplog):
    sure = unsure.deepcopy()
    sure.knobs.set({"confidence.assign_threshold": 0.0})
    lm, engine = recorded_lm(oracle(dataset))
    found_by_lm = teach(sure, dataset, lm, max_lm_calls=200, seed=0).result
    assert (found_by_lm.ran, found_by_lm.calls, engine.prompts) == (None, 0, [])
    assert "--optimizer bootstrap is not run" in caplog.text
    untrained = replace(dataset, splits={**dataset.splits, "train": ()})
    found_by_lm = teach(unsure, untrained, lm, max_lm_calls=200, seed=0).result
    assert found_by_lm.ran is None
    assert found_by_lm.calls > 0
    assert "three train requests are needed" in caplog.text


def test_too_few_calls_are_refused_before_anything_is_made(dataset, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    options = Options(tmp_path / "program", optimizer="gepa")
    lm, engine = recorded_lm(oracle(dataset))
    message = r"--optimizer gepa needs at least 231 LM calls, not 200; give --max-lm-calls 231 or"
    with pytest.raises(InputError, match=message):
        compile_program(dataset, options, lm)
    assert engine.prompts == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize(("calls", "named"), [(0, None), (160, "labeled-few-shot")])
def test_manifest_and_tag_name_the_optimizer_that_ran(dataset, tmp_path, monkeypatch, calls, named):
    import mlflow

    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
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
    assert {name: data.params[name] for name in ("trials", "max_lm_calls", "lm_test_limit")} == {
        "trials": "1", "max_lm_calls": str(calls), "lm_test_limit": "5",
    }  # fmt: skip


def test_the_makefile_compiles_the_program_that_ships(monkeypatch):
    for name in ("TASK_DELEGATOR_LM", "TASK_DELEGATOR_EMBEDDER"):
        monkeypatch.delenv(name, raising=False)
    recipe = (ROOT / "Makefile").read_text().split("\ncompiled:")[1].splitlines()[1]
    parsed = parser().parse_args(recipe.split(" -m optimize ")[1].split())
    config = compile_options(parsed).resolved(has_lm=True)
    manifest = json.loads((ROOT / config.out / "manifest.json").read_text())
    assert parsed.data == manifest["dataset"]["path"]
    assert config.embedder == manifest["embedder"]["spec"]
    assert config.lm == manifest["lm"]["spec"]
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


# Evaluation


@pytest.mark.slow
def test_a_report_is_complete_and_its_rates_are_fractions(dataset):
    report = evaluate(Delegator(dataset.registry), dataset, "test", name="x", limit=20)
    values = report.to_dict()
    assert set(values) == set(Report.__dataclass_fields__)
    assert (report.n, report.lm) == (20, None)
    assert 0 <= report.top1 <= report.top3 <= 1
    assert sum(report.decisions.values()) == 20
    written = json.loads(json.dumps(values, allow_nan=False))
    assert written["top1_ci95"] == list(report.top1_ci95)
    assert {name: written[name] for name in report.metrics() if name in written} == {
        name: value for name, value in report.metrics().items() if name in written
    }
    assert all(isinstance(value, float) for value in report.metrics().values())
    assert report.versus_bm25["difference"] == pytest.approx(
        report.top1 - report.baseline_bm25_top1
    )


def test_a_subset_is_fixed_by_its_seed(dataset):
    requests = dataset.splits["test"]
    assert select(requests, 7, 3) == select(requests, 7, 3)
    assert select(requests, 7, 3) != select(requests, 7, 4)
    assert select(requests, None, 0) == list(requests)
    with pytest.raises(InputError, match="at least 1"):
        select(requests, 0, 0)


def test_train_requests_become_samples(dataset):
    learned = learn_samples(dataset, 2)
    assert {len(texts) for texts in learned.values()} == {2}
    assert learn_samples(dataset, 0) == {}
    program = Delegator(dataset.registry)
    program.retrieve.learned.values = learned
    name, texts = next(iter(learned.items()))
    assert program(texts[0]).top3[0].name == name


# The command line


@pytest.mark.slow
def test_compile_evaluate_and_calibrate_from_the_command_line(tmp_path, monkeypatch, capsys):
    import mlflow

    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
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
    assert len(runs) == 1 + 5
    assert parents[0].data.metrics["test_top1"] == report["top1"]
    inputs = parents[0].inputs
    assert inputs is not None
    names = {entry.dataset.name for entry in inputs.dataset_inputs}
    assert names == {"data:train", "data:validation", "data:test"}
    files = {f.path for f in mlflow.MlflowClient().list_artifacts(manifest["mlflow_run_id"])}
    assert {"program", "plots", "tables"} <= files

    other = str(small_dataset(tmp_path / "other", agents=11))
    registry = json.loads((tmp_path / "other" / "agents.json").read_text())
    registry[0]["description"] += " On Sundays too."  # one agent that was not calibrated for
    (tmp_path / "other" / "agents.json").write_text(json.dumps(registry))
    assert main(["evaluate", "program", "--data", other, "--no-lm", "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["decisions"]["assign"] == 0
    calibrated = ["calibrate", "program", "--data", other, "--out", "again"]
    assert main([*calibrated, "--target-precision", "0.8"]) == 0
    capsys.readouterr()
    assert main(["evaluate", "again", "--data", other, "--no-lm", "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["decisions"]["assign"] > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["evaluate", "default", "--data", "nowhere", "--no-lm"], "nowhere: no such directory"),
        (["compile", "--data", "nowhere", "--no-lm"], "nowhere: no such directory"),
        (["search", "--data", "nowhere"], "nowhere: no such directory"),
        (["calibrate", "default", "--data", "nowhere"], "nowhere: no such directory"),
        (["compile", "--no-lm", "--out", str(ROOT)], "exists and is no compiled program"),
        (["calibrate", "default", "--out", str(ROOT / "datasets")], "is no compiled program"),
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


def test_an_unknown_agent_in_a_label_is_exit_code_two(tmp_path, capsys):
    (tmp_path / "agents.json").write_text('[{"name": "A"}]')
    (tmp_path / "train.json").write_text('[{"expected_agent_name": "B", "user_requests": ["x"]}]')
    assert main(["compile", "--data", str(tmp_path), "--no-lm", "--out", str(tmp_path / "p")]) == 2
    assert "no agent is named 'B'" in capsys.readouterr().err


@pytest.mark.slow
def test_the_head_of_four_thousand_agents_is_fitted_in_closed_form():
    """Softmax regression would take minutes there; its regularization changes nothing."""
    registry = load_dataset(public("seal_tools")).registry
    assert len(registry) > SOFTMAX_AGENTS
    program = Delegator(registry)
    found = []
    for regularization in (0.1, 100.0):
        program.knobs.set({"retrieval.head_c": regularization})
        found.append(program("convert a currency").top3)
    assert found[0] == found[1]
    assert len(found[0]) == 3
