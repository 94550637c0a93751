import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import dspy
import numpy as np
import pytest
from recorded import recorded_lm
from small import ROOT, HashedWords

from optimize.data.dataset import load_dataset
from task_delegator.artifact import store as artifact
from task_delegator.artifact.store import load, save
from task_delegator.delegator import Delegator
from task_delegator.embedders.specs import embedder
from task_delegator.errors import InputError, ProgramError
from task_delegator.registry.agents import Agent, Registry

TASKS = [
    "I was billed twice for May",
    "announce the new parking rules to the Ghent office",
    "the SDK example for webhooks does not compile",
    "how do I bake bread",
]


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry.load(ROOT / "datasets" / "agents.json")


@pytest.fixture
def folder(tmp_path, registry):
    """A saved program with knobs, learned samples and a demo that differ from the defaults."""
    program = Delegator(registry)
    program.knobs.set(
        {
            "retrieval.k": 5,
            "retrieval.chars": 0.3,
            "lm.ask_settled": True,
            "lm.weight": 0.7,
            "confidence.correct.bias": -0.4,
            "confidence.assign_threshold": 0.6,
        }
    )
    program.retrieve.learned.values = {"Refund Desk": ("please wire it back",)}
    program.knobs.set(
        {
            "split.threshold": 0.5,
            "split.several.bias": 0.2,
            "split.several.cues": 1.0,
            "expansion.phrasings": 1,
            "lm.prior": 0.5,
            "lm.repeats": 1,
        }
    )
    program.knobs.set(
        {
            "lm.rubric_low": 0.1,
            "lm.rubric_high": 0.9,
            "confidence.correct_with_lm.rubric": 0.3,
            "lm.second_order_margin": 1.0,
        }
    )
    program.classify.select.demos = [{"task": "t", "candidates": "A) x", "slot": "A"}]
    signature: Any = program.expand.rephrase.signature
    program.expand.rephrase.signature = signature.with_instructions("Anew.")
    program.decompose.split.demos = [{"task": "t", "parts": [{"task": "u", "after": []}]}]
    save(program, tmp_path / "program", manifest_of(registry))
    return tmp_path / "program"


def manifest_of(registry, **changes):
    embed = embedder("minilm")
    return {
        "embedder": {"spec": "minilm", "id": embed.id},
        "registry": {
            "sha256": registry.sha256(),
            "calibrated": [agent.digest() for agent in registry],
        },
        **changes,
    }


def said(delegation):
    values = delegation.to_dict()
    values["usage"].pop("seconds")
    return values


@pytest.mark.slow
def test_a_reloaded_program_gives_the_same_answers(folder, registry):
    lm, _ = recorded_lm(lambda prompt: '{"slot": "B"}')
    first, again = load(folder, registry), load(folder, registry)
    assert again.knobs.values == first.knobs.values
    for task in TASKS:
        assert said(first(task)) == said(again(task))
        with dspy.context(lm=lm):
            assert said(first(task)) == said(again(task))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("held", "said"),
    [
        ({"model": "openai/gpt-4o-mini"}, "with openai/gpt-4o-mini, which brought too little"),
        (None, "was compiled without one"),
        ("openai/gpt-4o-mini", "was compiled without one"),  # no manifest of ours
    ],
)
def test_an_lm_that_was_tried_and_left_out_is_not_called_untried(
    caplog, tmp_path, registry, held, said
):
    save(Delegator(registry), tmp_path / "program", manifest_of(registry, lm=held))
    lm, _ = recorded_lm(lambda prompt: '{"slot": "B"}')
    load(tmp_path / "program", registry, lm=lm)
    (told,) = [r.getMessage() for r in caplog.records if "the LM is not asked" in r.getMessage()]
    assert said in told


@pytest.mark.slow
def test_every_predictor_and_every_plan_comes_back(folder, registry):
    first, again = Delegator(registry), load(folder, registry)
    assert [n for n, _ in again.named_predictors()] == [n for n, _ in first.named_predictors()]
    state = json.loads((folder / "program.json").read_text())
    for name, predictor in again.named_predictors():
        assert json.loads(json.dumps(predictor.dump_state())) == state[name]
    signature: Any = again.expand.rephrase.signature
    assert signature.instructions == "Anew."
    assert again.decompose.split.demos[0]["task"] == "t"
    again.knobs.set({"lm.gate": None})
    second = load(folder, registry)
    second.knobs.set({"lm.gate": None})
    task = "Check whether we billed ACME twice in May, and then announce the new prices to staff."
    plans = [without_seconds(program.plan(task).to_dict()) for program in (again, second)]
    assert plans[0] == plans[1]


def without_seconds(value):
    if isinstance(value, dict):
        return {key: without_seconds(v) for key, v in value.items() if key != "seconds"}
    return [without_seconds(v) for v in value] if isinstance(value, list) else value


def test_another_precision_is_aimed_at_without_compiling(folder, registry, caplog):
    scores = {
        "confidences": [0.9, 0.8, 0.7, 0.6, 0.5],
        "right": [True, True, False, True, False],
    }
    save(load(folder, registry), folder, manifest_of(registry, calibration=scores))
    thresholds = {
        target: load(
            folder, registry, target_precision=target
        ).knobs.values.confidence.assign_threshold
        for target in (1.0, 0.75, 0.6)
    }
    assert thresholds == pytest.approx({1.0: 0.8, 0.75: 0.6, 0.6: 0.5}, abs=1e-4)
    assert "2 of 2 validation requests right" in caplog.text
    assert "cannot be certified with n = 5 in scope and 0 out of scope" in caplog.text
    assert load(folder, registry).knobs.values.confidence.assign_threshold == 0.6  # its own


def test_out_of_scope_traffic_raises_the_threshold_that_is_aimed_at(folder, registry):
    """Scores are kept with those out of scope, with an LM and without."""
    confidences = np.linspace(0.5, 0.995, 100).tolist()
    outside = {"out_of_scope": [0.6, 0.7, 0.8], "n_out_of_scope": 20}
    alone = {"confidences": confidences, "right": [True] * 100, **outside}
    heard = {"confidences": confidences, "right": [True] * 100, **outside, "unasked": alone}
    scores = {**alone, "promise": {"target": 0.97, "delta": 0.2}, "with_lm": heard}
    save(load(folder, registry), folder, manifest_of(registry, calibration=scores))

    def thresholds(share: float | None) -> tuple[float | None, float | None]:
        program = load(folder, registry, target_precision=0.97, out_of_scope_share=share)
        knobs = program.knobs.values.confidence
        return knobs.assign_threshold, knobs.assign_threshold_with_lm

    assert thresholds(0.0) == pytest.approx((0.5, 0.5), abs=1e-4)
    assert thresholds(None) == thresholds(0.2)  # nothing else is recorded
    assert all((t or 0.0) > 0.6 for t in thresholds(0.2))
    own = load(folder, registry, out_of_scope_share=0.2).knobs.values.confidence
    assert (own.assign_threshold, own.assign_threshold_with_lm) == thresholds(0.2)


@pytest.mark.parametrize("share", [-0.1, 1.0])
def test_a_share_out_of_range_is_refused(folder, registry, share):
    scores = {"confidences": [0.9], "right": [True]}
    save(load(folder, registry), folder, manifest_of(registry, calibration=scores))
    with pytest.raises(InputError, match=f"out-of-scope share {share}"):
        load(folder, registry, out_of_scope_share=share)


def test_a_program_without_validation_scores_says_so(folder, registry):
    with pytest.raises(ProgramError, match="holds no validation scores"):
        load(folder, registry, target_precision=0.9)


@pytest.mark.slow
def test_a_fresh_process_gives_the_same_answers(folder, registry):
    code = (
        "import json, sys\n"
        "from task_delegator import Registry, load\n"
        "program = load(sys.argv[1], Registry.load(sys.argv[2]))\n"
        "print(json.dumps([program(task).to_dict() for task in json.loads(sys.argv[3])]))\n"
    )
    agents = str(ROOT / "datasets" / "agents.json")
    arguments = [sys.executable, "-c", code, str(folder), agents, json.dumps(TASKS)]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True)
    theirs = json.loads(done.stdout)
    program = load(folder, registry)
    for task, their in zip(TASKS, theirs, strict=True):
        their["usage"].pop("seconds")
        assert their == json.loads(json.dumps(said(program(task))))


@pytest.mark.slow
def test_an_empty_folder_is_enough_for_a_quick_start(tmp_path):
    """Nothing of the checkout is read: the package alone, in another folder, as a wheel is."""
    package = tmp_path / "installed"
    shutil.copytree(Path(artifact.__file__).parents[1], package / "task_delegator")
    empty = tmp_path / "empty"
    empty.mkdir()
    code = (
        "from task_delegator import Agent, Registry, load\n"
        "agents = [\n"
        "    Agent(name='Refunds', description='pays money back to customers'),\n"
        "    Agent(name='Travel', description='books trains and hotels for staff'),\n"
        "    Agent(name='Payroll', description='pays the salaries of staff'),\n"
        "]\n"
        "delegation = load('default', Registry(agents))('book a hotel in Porto')\n"
        "print(delegation.top3[0].name, delegation.decision)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=empty,
        env={**os.environ, "PYTHONPATH": str(package), "PYTHONSAFEPATH": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "Travel review\n"
    assert list(empty.iterdir()) == []


@pytest.mark.parametrize("compiled", [False, True])
def test_the_state_is_json_without_lm_pickle_or_secret(folder, registry, compiled):
    program = load(folder, registry)
    program.set_lm(dspy.LM("openai/x", api_key="sk-secret", headers={"X": "sk-secret"}))
    program.classify._compiled = compiled  # an optimizer's flag, which hides children
    save(program, folder, manifest_of(registry))
    assert sorted(p.name for p in folder.iterdir()) == ["manifest.json", "program.json"]
    text = (folder / "program.json").read_text()
    assert "sk-secret" not in text
    assert json.loads(text)["classify.select"]["lm"] is None


def test_saving_leaves_the_program_as_it_is(folder, registry):
    lm, _ = recorded_lm(lambda prompt: '{"slot": "B"}')
    program = load(folder, registry)
    program.set_lm(lm)
    program.classify._compiled = True
    save(program, folder, manifest_of(registry))
    assert program.classify.select.lm is lm
    assert program.classify._compiled


def test_a_compiled_flag_does_not_hide_a_predictor(folder, registry):
    program = load(folder, registry)
    program.classify._compiled = True
    save(program, folder, manifest_of(registry))
    assert load(folder, registry).classify.select.demos


def test_saving_again_replaces_in_one_step_and_leaves_nothing_behind(folder, registry):
    save(load(folder, registry), folder, manifest_of(registry, note="second"))
    assert json.loads((folder / "manifest.json").read_text())["note"] == "second"
    assert [p.name for p in folder.parent.iterdir()] == ["program"]


@pytest.mark.slow
def test_a_failed_save_leaves_the_old_program(folder, registry):
    with pytest.raises(TypeError):
        save(load(folder, registry), folder, manifest_of(registry, bad=object()))
    assert load(folder, registry)(TASKS[0]).agent
    assert [p.name for p in folder.parent.iterdir()] == ["program"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 99}, "format 99, this code reads 3 and 4; compile the program again"),
        ({"signatures": "0"}, "signatures that differ"),
        ({"embedder": {"spec": "minilm", "id": "other"}}, "compiled with embedder other, not"),
        ({"embedder": "minilm"}, "embedder must hold spec and id"),
        ({"registry": {"sha256": "x"}}, "registry must hold sha256 and calibrated"),
        ({"registry": {"sha256": "x", "calibrated": 5}}, "calibrated must be a list of digests"),
        ({"registry": {"sha256": "x", "calibrated": [[1]]}}, "must be a list of digests"),
    ],
)
def test_a_program_that_does_not_fit_is_refused(folder, registry, change, message):
    path = folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(ProgramError, match=message):
        load(folder, registry)


def test_another_embedder_is_refused(folder, registry):
    with pytest.raises(ProgramError, match="use --embedder minilm, or compile again"):
        load(folder, registry, embedder=HashedWords())


def test_an_embedder_is_named_or_given(folder, registry):
    given = embedder("minilm")
    assert load(folder, registry, embedder=given).retrieve.library.embed is given
    for spec in ("minilm", None):
        assert load(folder, registry, embedder=spec).retrieve.library.embed.id == given.id


@pytest.mark.parametrize("kind", [str, Path])
def test_a_registry_is_given_or_a_file_with_its_enrichment(folder, tmp_path, office, kind, caplog):
    caplog.set_level("INFO", "task_delegator")
    path = tmp_path / "agents.json"
    office.save(path)
    assert list(load(folder, kind(path)).registry) == list(office)
    addition = {"Travel": {"user_request_samples": ["a ferry to Bari"]}}
    (tmp_path / "enrichment.json").write_text(json.dumps({"agents": addition}))
    assert "a ferry to Bari" in load(folder, kind(path)).registry["Travel"].user_request_samples
    assert f"enrichment.json: applied to the agents of {path}" in caplog.text
    with pytest.raises(InputError, match="no such file"):
        load(folder, kind(tmp_path / "missing.json"))


def test_nothing_but_a_program_is_saved_over(folder, registry, tmp_path):
    other = tmp_path / "precious"
    other.mkdir()
    (other / "thesis.txt").write_text("years of work")
    for target in (other, other / "thesis.txt"):
        with pytest.raises(InputError, match="exists and is no compiled program"):
            save(load(folder, registry), target, manifest_of(registry))
    assert (other / "thesis.txt").read_text() == "years of work"


def test_a_changed_registry_is_no_longer_calibrated(folder):
    registry = Registry.load(ROOT / "datasets" / "agents.json")
    program = load(folder, registry)
    assert program.calibrated()
    secret = Agent(name="Vault", required_permissions=frozenset({"vault"}))
    registry.add(secret)
    assert not program.calibrated()
    assert program.calibrated([])
    registry.remove("Vault")
    assert program.calibrated()
    registry.replace(registry["Refund Desk"].model_copy(update={"description": "Other."}))
    assert not program.calibrated()
    assert program.calibrated([])


def test_a_missing_state_is_refused(folder, registry):
    (folder / "program.json").unlink()
    with pytest.raises(ProgramError, match=r"program\.json: no such file"):
        load(folder, registry)


def test_a_damaged_state_is_refused(folder, registry):
    (folder / "program.json").write_text("{}")
    with pytest.raises(ProgramError, match="is missing; compile the program again"):
        load(folder, registry)


@pytest.mark.parametrize("missing", ["nowhere", "runs/nowhere", "/nowhere"])
def test_a_missing_program_names_those_that_ship(registry, missing):
    with pytest.raises(ProgramError, match=r"no compiled program; .* default"):
        load(missing, registry)


def test_on_another_registry_the_program_works_but_does_not_assign(folder, office):
    program = load(folder, office)
    program.knobs.set({"confidence.assign_threshold": 0.0, "scope.threshold": None})
    delegation = program("refund my order")
    assert delegation.decision == "review"
    assert delegation.evidence.calibrated is False
    assert "not calibrated" in delegation.reason
    forced = load(folder, office, allow_uncalibrated=True)
    forced.knobs.set({"confidence.assign_threshold": 0.0, "scope.threshold": None})
    assert forced("refund my order").decision == "assign"


def test_the_shipped_program_belongs_to_the_shipped_data():
    manifest = artifact.read_manifest(artifact.find("default"))
    dataset = load_dataset(ROOT / "datasets")
    assert manifest["dataset"]["sha256"] == dataset.digests()
    digests = {agent.reading_digest() for agent in dataset.registry}
    assert digests == set(manifest["registry"]["calibrated"])
    assert not manifest["commit"].endswith("+")
