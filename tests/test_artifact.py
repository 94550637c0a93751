import json
import subprocess
import sys

import dspy
import pytest
from recorded import recorded_lm
from small import ROOT, HashedWords

from optimize.data import load_dataset
from task_delegator import artifact
from task_delegator.agents import Registry
from task_delegator.artifact import load, save
from task_delegator.delegator import Delegator
from task_delegator.embed import embedder
from task_delegator.errors import InputError, ProgramError

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
    program.knobs.set(k=5, chars=0.3, gate=1.01, lm=0.7, sure_bias=-0.4, assign=0.6)
    program.retrieve.learned.values = {"Refund Desk": ("please wire it back",)}
    program.classify.select.demos = [{"task": "t", "candidates": "A) x", "slot": "A"}]
    save(program, tmp_path / "program", manifest_of(registry))
    return tmp_path / "program"


def manifest_of(registry, **changes):
    embed = embedder("minilm")
    return {
        "embedder": {"spec": "minilm", "id": embed.id},
        "registry": {"sha256": registry.sha256(), "calibrated": [registry.sha256()]},
        **changes,
    }


def said(delegation):
    values = delegation.to_json()
    values["usage"].pop("seconds")
    return values


def test_a_reloaded_program_gives_the_same_answers(folder, registry):
    lm, _ = recorded_lm(lambda prompt: '{"slot": "B"}')
    first, again = load(folder, registry), load(folder, registry)
    assert again.knobs.values == first.knobs.values
    for task in TASKS:
        assert said(first(task)) == said(again(task))
        with dspy.context(lm=lm):
            assert said(first(task)) == said(again(task))


@pytest.mark.slow
def test_a_fresh_process_gives_the_same_answers(folder, registry):
    code = (
        "import json, sys\n"
        "from task_delegator import Registry, load\n"
        "program = load(sys.argv[1], Registry.load(sys.argv[2]))\n"
        "print(json.dumps([program(task).to_json() for task in json.loads(sys.argv[3])]))\n"
    )
    agents = str(ROOT / "datasets" / "agents.json")
    arguments = [sys.executable, "-c", code, str(folder), agents, json.dumps(TASKS)]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True)
    theirs = json.loads(done.stdout)
    program = load(folder, registry)
    for task, their in zip(TASKS, theirs, strict=True):
        their["usage"].pop("seconds")
        assert their == json.loads(json.dumps(said(program(task))))


def test_the_state_is_json_without_lm_pickle_or_secret(folder, registry):
    program = load(folder, registry)
    program.set_lm(dspy.LM("openai/x", api_key="sk-secret", headers={"X": "sk-secret"}))
    save(program, folder, manifest_of(registry))
    assert sorted(p.name for p in folder.iterdir()) == ["manifest.json", "program.json"]
    text = (folder / "program.json").read_text()
    assert "sk-secret" not in text
    assert json.loads(text)["classify.select"]["lm"] is None


def test_a_compiled_flag_does_not_hide_a_predictor(folder, registry):
    program = load(folder, registry)
    program.classify._compiled = True
    save(program, folder, manifest_of(registry))
    assert load(folder, registry).classify.select.demos


def test_saving_again_replaces_in_one_step_and_leaves_nothing_behind(folder, registry):
    save(load(folder, registry), folder, manifest_of(registry, note="second"))
    assert json.loads((folder / "manifest.json").read_text())["note"] == "second"
    assert [p.name for p in folder.parent.iterdir()] == ["program"]


def test_a_failed_save_leaves_the_old_program(folder, registry):
    with pytest.raises(TypeError):
        save(load(folder, registry), folder, manifest_of(registry, bad=object()))
    assert load(folder, registry)(TASKS[0]).agent
    assert [p.name for p in folder.parent.iterdir()] == ["program"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 99}, "format 99, this code reads 1; compile the program again"),
        ({"signatures": "0"}, "other signatures"),
        ({"embedder": {"spec": "minilm", "id": "other"}}, "compiled with embedder other, not"),
        ({"embedder": "minilm"}, "embedder does not say spec and id"),
        ({"registry": {"sha256": "x"}}, "registry does not say sha256 and calibrated"),
    ],
)
def test_a_program_that_does_not_fit_is_refused(folder, registry, change, message):
    path = folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(ProgramError, match=message):
        load(folder, registry)


def test_another_embedder_is_refused(folder, registry, monkeypatch):
    monkeypatch.setattr(artifact, "embedder", lambda spec: HashedWords())
    with pytest.raises(ProgramError, match="use --embedder minilm or compile again"):
        load(folder, registry, embedder_spec="hashed")


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
    assert program.calibrated
    registry.remove("Refund Desk")
    assert not program.calibrated


def test_a_missing_state_is_refused(folder, registry):
    (folder / "program.json").unlink()
    with pytest.raises(ProgramError, match="cannot be loaded"):
        load(folder, registry)


def test_a_damaged_state_is_refused(folder, registry):
    (folder / "program.json").write_text("{}")
    with pytest.raises(ProgramError, match="cannot be loaded"):
        load(folder, registry)


def test_a_missing_program_names_those_that_ship(registry):
    with pytest.raises(ProgramError, match=r"no compiled program; .* default"):
        load("nowhere", registry)


def test_on_another_registry_the_program_works_but_does_not_assign(folder, office):
    program = load(folder, office)
    program.knobs.set(assign=0.0, fits=0.0)
    delegation = program("refund my order")
    assert delegation.decision == "review"
    assert delegation.evidence["calibrated"] is False
    assert "not calibrated" in delegation.reason
    forced = load(folder, office, allow_uncalibrated=True)
    forced.knobs.set(assign=0.0, fits=0.0)
    assert forced("refund my order").decision == "assign"


def test_the_shipped_program_belongs_to_the_shipped_data():
    manifest = artifact.read_manifest(artifact.find("default"))
    dataset = load_dataset(ROOT / "datasets")
    assert manifest["dataset"]["sha256"] == dataset.digests()
    assert dataset.registry.sha256() in manifest["registry"]["calibrated"]
    assert not manifest["commit"].endswith("+")
