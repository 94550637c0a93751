"""What a user of DSPy and MLflow does beside a compilation, and with its program."""

from pathlib import Path

import dspy
import pytest
from mlflow import dspy as flavor
from mlflow.tracking import MlflowClient
from recorded import oracle, recorded_lm
from small import HashedWords, small_dataset

from optimize.config import Options
from optimize.data.dataset import load_dataset
from optimize.pipeline import compile as compiling
from optimize.pipeline.compile import compile_program
from optimize.tracking.store import connect
from task_delegator import load
from task_delegator.registry.agents import Registry

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("no_store_left_over")]


@pytest.fixture
def data(store, tmp_path, monkeypatch):
    monkeypatch.setattr(compiling, "embedder", lambda spec: HashedWords())
    return small_dataset(tmp_path / "data")


def compiled(data: Path, out: Path, traces: int = 2):
    dataset = load_dataset(data)
    lm, _ = recorded_lm(oracle(dataset))
    options = Options(
        out, trials=2, lm="recorded/model", optimizer="labeled-few-shot", max_lm_calls=160,
        target_precision=1.0, traces=traces,
    )  # fmt: skip
    return compile_program(dataset, options, lm)


def counted() -> dict[str, int]:
    """Return how many runs, traces, agent versions and prompt versions the store holds."""
    client, experiment = MlflowClient(), connect()
    return {
        "runs": len(client.search_runs([experiment])),
        "traces": len(client.search_traces(locations=[experiment], max_results=500)),
        "models": len(client.search_logged_models([experiment])),
        "prompts": len(client.search_prompt_versions("delegator.classify.select")),
    }


def test_autolog_and_settings_of_the_user_break_and_double_nothing(data, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_ENABLE_ASYNC_TRACE_LOGGING", "false")
    plain = compiled(data, tmp_path / "plain")
    alone = counted()
    lm, engine = recorded_lm(str)
    flavor.autolog()
    dspy.configure(lm=lm)
    try:
        beside = compiled(data, tmp_path / "beside")
        assert dspy.settings.lm is lm
        assert engine.prompts == []  # the user's LM is not asked
    finally:
        flavor.autolog(disable=True)
        dspy.configure(lm=None, callbacks=[])
    both = counted()
    assert alone["prompts"] == both.pop("prompts")
    assert both == {name: 2 * alone[name] for name in both}
    assert (both["models"], both["traces"]) == (2, 4)
    assert beside.reports["test"].top1 == plain.reports["test"].top1
    client = MlflowClient()
    ours, theirs = (client.get_run(one.run_id).data for one in (plain, beside))
    assert theirs.params.keys() == ours.params.keys()
    assert theirs.metrics.keys() == ours.metrics.keys()


@pytest.mark.filterwarnings("ignore")  # MLflow's own, of its pickles
def test_a_compiled_program_goes_through_mlflows_dspy_flavor(data, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "true")
    out = tmp_path / "program"
    compiled(data, out, traces=0)
    registry = Registry.load(data / "agents.json")
    program = load(out, registry, embedder=HashedWords())
    task = "A customer was billed twice for May."
    with dspy.context(lm=None):
        logged = flavor.log_model(program, name="by-dspy", pip_requirements=[])
        again = flavor.load_model(logged.model_uri)
        assert again(task).top3 == program(task).top3


def test_dspys_own_evaluation_takes_the_program(data):
    dataset = load_dataset(data)
    program = load("default", dataset.registry)
    requests = dataset.splits["validation"]

    examples = [dspy.Example(task=r.text, right=r.acceptable).with_inputs("task") for r in requests]
    top1 = lambda example, found, trace=None: found.top3[0].name in example.right  # noqa: E731
    result = dspy.Evaluate(devset=examples, metric=top1)(program)

    assert result.score > 80
    assert len(result.results) == len(requests)
