"""Agent versions and prompts of compiled programs, in a real MLflow store."""

import json
from pathlib import Path

import mlflow
import pytest
from mlflow import genai
from mlflow.entities import LoggedModel
from mlflow.tracking import MlflowClient
from recorded import oracle, recorded_lm
from small import HashedWords, small_dataset

from optimize.__main__ import main
from optimize.config import Options
from optimize.data.dataset import load_dataset
from optimize.pipeline import compile as compiling
from optimize.pipeline.compile import Compiled, compile_program
from optimize.tracking import run as track
from optimize.tracking.models import holding, program_digest
from optimize.tracking.prompts import Prompts
from optimize.tracking.registry import Models
from optimize.tracking.store import connect
from task_delegator.artifact import find, load
from task_delegator.artifact.prompt_text import prompt_texts, read_prompt, write_prompt
from task_delegator.errors import ProgramError
from task_delegator.registry.agents import Registry
from task_delegator.tracing import Span

SELECT = "delegator.classify.select"
pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("no_store_left_over")]


@pytest.fixture
def store(store, monkeypatch):
    monkeypatch.setattr(compiling, "embedder", lambda spec: HashedWords())
    return store


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return small_dataset(tmp_path_factory.mktemp("folder") / "data")


def taught(data: Path, out: Path) -> Compiled:
    """Compile with an LM that is right where demos are shown."""
    dataset = load_dataset(data)
    knows = oracle(dataset)

    def answer(prompt: str) -> str:
        shown = prompt.count("[[ ## candidates ## ]]") > 1 or "[[ ## rivals ## ]]" in prompt
        return knows(prompt) if shown else '{"slot": "A"}'

    lm, _ = recorded_lm(answer)
    options = Options(
        out, trials=2, lm="recorded/model", optimizer="labeled-few-shot", max_lm_calls=160,
        target_precision=1.0, traces=1,
    )  # fmt: skip
    return compile_program(dataset, options, lm)


def version_of(run_id: str) -> LoggedModel:
    (model,) = MlflowClient().search_logged_models([connect()], f"source_run_id = '{run_id}'")
    return mlflow.get_logged_model(model.model_id)


def test_a_compiled_program_is_an_agent_version_and_promote_registers_that_one(
    data, store, tmp_path, capsys
):
    compiled = taught(data, tmp_path / "program")
    run = mlflow.get_run(compiled.run_id)
    assert run.info.run_name == "data, model, minilm-tuned, labeled-few-shot"
    model = version_of(compiled.run_id)
    assert (model.status, model.model_type) == ("READY", "agent")
    assert model.params["lm"] == "recorded/model"
    assert model.params.items() <= run.data.params.items()
    assert "None" not in run.data.params.values()
    assert len(model.tags["mlflow.source.git.commit"]) == 12
    by_dataset = {m.key: (m.dataset_name, m.value) for m in model.metrics or ()}
    assert by_dataset["test_top1"] == ("data:test", round(compiled.reports["test"].top1, 4))
    assert by_dataset["validation_top1"][0] == "data:validation"
    assert len(run.data.metrics) + len(run.data.params) < 40  # a comparison fits one screen
    assert len(mlflow.search_traces(locations=[connect()], model_id=model.model_id)) == 1
    assert "search_best_top1" not in by_dataset  # a step is no metric of the version
    linked = {p["name"] for p in json.loads(model.tags["mlflow.linkedPrompts"])}
    assert linked == {f"delegator.{name}" for name in prompt_texts(compiled.program)}

    # Evaluations of the program are told to belong to it.
    digest = program_digest(str(tmp_path / "program"))
    assert digest is not None
    assert model.tags["program_sha256"] == digest
    assert holding(digest, connect()) == model.model_id
    assert holding("0" * 64, connect()) is None

    common = ["--data", str(data), "--no-lm"]
    assert "agents.json" not in held(model)  # no compilation stores the agents
    with pytest.raises(ProgramError, match="holds no agents to serve; run python -m optimize prom"):
        mlflow.pyfunc.load_model(f"models:/{model.model_id}")
    arguments = ["promote", compiled.run_id, "--force", *common]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("task_delegator.artifact.models._packaged", lambda *_: HashedWords())
        assert main(arguments) == 0, capsys.readouterr().err
    registered = MlflowClient().get_model_version_by_alias("delegator", "champion")
    assert registered.source == f"models:/{model.model_id}"
    assert "agents.json" in held(model)
    champion = genai.load_prompt(f"prompts:/{SELECT}@champion")
    assert champion.template == prompt_texts(compiled.program)["classify.select"]


def held(model: LoggedModel) -> set[str]:
    folder = "artifacts/program"
    listed = MlflowClient().list_logged_model_artifacts(model.model_id, folder)
    return {Path(file.path).name for file in listed}


def test_no_request_and_no_agent_is_in_the_store_unless_the_program_carries_it(
    data, store, tmp_path
):
    dataset = load_dataset(data)
    compile_program(dataset, Options(tmp_path / "plain", trials=2, traces=3), None)
    files = [tmp_path / "mlflow.db", *(f for f in (tmp_path / "mlruns").rglob("*") if f.is_file())]
    kept = b"".join(file.read_bytes() for file in files)
    texts = [r.text for split in dataset.splits.values() for r in split]
    texts += [text for split in dataset.out_of_scope.values() for text in split]
    texts += [a.description for a in dataset.registry]
    spelled = [form for t in texts for form in (t.encode(), json.dumps(t)[1:-1].encode())]
    assert len(files) > 10
    assert [text for text in spelled if text in kept] == []


def test_what_a_compilation_changed_is_a_version_of_its_prompt(data, store, tmp_path):
    first = taught(data, tmp_path / "first")
    versions = MlflowClient().search_prompt_versions(SELECT)
    said = {int(v.version): str(v.commit_message) for v in versions}
    texts = {int(v.version): str(v.template) for v in versions}
    assert sorted(texts) == [1, 2]
    assert said[1] == "as its signature is written"
    assert "labeled-few-shot on data" in said[2]
    assert "log-likelihood" in said[2]
    assert texts[2] == prompt_texts(first.program)["classify.select"]
    assert texts[2].startswith(texts[1])
    weigh = MlflowClient().search_prompt_versions("delegator.classify.weigh")
    assert [int(v.version) for v in weigh] == [1]

    taught(data, tmp_path / "second")  # the same texts: no version
    assert len(MlflowClient().search_prompt_versions(SELECT)) == 2


def test_a_prompt_of_the_registry_is_tried_in_a_program(data, store, tmp_path, capsys):
    connect()
    registry = Registry.load(data / "agents.json")
    demo = {"task": "pay", "candidates": "A: Refunds", "slot": "A"}
    text = write_prompt("Pick one.", [demo])
    Prompts("delegator").register({"classify.select": text}, "by hand", {})
    genai.set_prompt_alias(SELECT, "champion", 1)
    for uri in (f"prompts:/{SELECT}/1", f"prompts:/{SELECT}@champion"):
        program = load("default", registry, prompts=[uri])
        assert prompt_texts(program)["classify.select"] == text
    common = ["evaluate", "default", "--data", str(data), "--no-lm", "--limit", "3"]
    assert main([*common, "--prompt", f"prompts:/{SELECT}@champion"]) == 0

    broken = "Pick.\n\n[[ ## demo 1 ## ]]\n\n[[ ## task ## ]] as JSON\n[{"
    Prompts("delegator").register({"classify.select": broken}, "x", {})
    bad = write_prompt("Pick.", [{"lm": "http://127.0.0.1:9"}])
    Prompts("delegator").register({"classify.select": bad}, "x", {})
    for uri, said in {
        f"prompts:/{SELECT}/2": "a demo is no JSON",
        f"prompts:/{SELECT}/3": "demos.0.lm: is no field",
        f"prompts:/{SELECT}/9": "MLFLOW_TRACKING_URI",
        "prompts:/delegator.nobody/1": "names no prompt of this program",
        "models:/x/1": "names no prompt of this program",
    }.items():
        with pytest.raises(ProgramError, match=said) as caught:
            load("default", registry, prompts=[uri])
        assert "\n" not in str(caught.value)
    assert main([*common, "--prompt", f"prompts:/{SELECT}/9"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_prompt_is_read_as_it_was_written():
    demos = [
        {"task": "a {{b}}\n\n[x]\n", "slot": "é", "candidates": ""},
        {"task": "[[ ## slot ## ]]", "slot": "a\r\nb", "augmented": True, "agents": ["x", 1]},
        {"task": "\n[[ ## demo 2 ## ]]\n"},
    ]
    for instructions in ("Do.\n\nRead.", "", "Do.\n", "Fill [[ ## slot ## ]]\n[[ ## x ## ]]"):
        for held in (demos, demos[:1], []):
            assert read_prompt(write_prompt(instructions, held)) == (instructions, held)
    text = write_prompt("Do.", [{"task": "a", "slot": "B"}])
    assert text == "Do.\n\n[[ ## demo 1 ## ]]\n\n[[ ## task ## ]]\na\n\n[[ ## slot ## ]]\nB"
    assert read_prompt(text.replace("\n", "\r\n")) == read_prompt(text)


def test_the_agent_version_of_a_run_that_fails_is_failed_and_taken_up_again(store):
    ids = []

    def fails():
        with track.run("fails", {}) as run:
            ids.append(run.id)
            run.begin_model("a: b/c", {"lm": None})
            raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        fails()
    model = version_of(ids[0])
    assert (model.status, model.name, model.params) == ("FAILED", "a-b-c", {"lm": "none"})
    with track.run("again", {}, resume_id=ids[0]) as again:
        again.begin_model("a: b/c", {"lm": None})
    assert again.model_id == model.model_id


def test_the_users_active_model_comes_back(store):
    connect()
    with mlflow.set_active_model(name="mine") as mine:
        with track.run("ours", {}) as run:
            run.begin_model("ours", {})
            run.log_traces([Span("1", None, "Delegator", "CHAIN", {}, {}, 1, ended=2)])
        (trace,) = mlflow.search_traces(locations=[connect()], return_type="list")
        assert trace.info.trace_metadata["mlflow.modelId"] == run.model_id
        assert mlflow.get_active_model_id() == mine.model_id


def test_a_rollback_moves_the_aliases_of_the_prompts(data, store):
    models = Models()
    registry = Registry.load(data / "agents.json")
    program = load("default", registry)
    given = []
    for text in ("First.", "Second."):
        prompts = prompt_texts(program) | {"classify.select": text}
        given.append(models.register(find("default"), registry, prompts, "default"))
        models.set_champion(given[-1], given[-2] if len(given) > 1 else None)

    def shown(alias):
        return genai.load_prompt(f"prompts:/{SELECT}@{alias}", cache_ttl_seconds=0).template

    assert (shown("champion"), shown("previous")) == ("Second.", "First.")
    models.set_champion(given[0], given[1])
    assert (shown("champion"), shown("previous")) == ("First.", "Second.")
