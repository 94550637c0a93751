"""What a champion is replaced for, with programs that differ in one thing each."""

import json
import logging
import shutil
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
from small import ROOT, small_dataset
from tracking import Held

from optimize.data.dataset import load_dataset
from optimize.evaluation import delegate_all
from optimize.tracking import Models, promote
from task_delegator.artifact.store import load, save
from task_delegator.registry.agents import Registry

pytestmark = pytest.mark.slow

SHIPPED = ROOT / "program/task_delegator/compiled/default"
ALL_ASSIGNED = {
    "confidence.assign_threshold": 0.0,
    "scope.even_odds_floor": None,
    "scope.assign_floor": None,
    "scope.threshold": 0.0,
}
OTHERS = ("bm25", "chars", "maxsim", "maxsim_reverse", "head", "sample_best", "sample_mean")
DESCRIPTIONS_ALONE = {f"retrieval.{name}": 0.0 for name in OTHERS} | {"retrieval.description": 0.01}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Agents that the shipped program was not calibrated for."""
    found = load_dataset(small_dataset(tmp_path_factory.mktemp("data")))
    changed = [agent.model_copy(update={"domain": "another"}) for agent in found.registry]
    return replace(found, registry=Registry(changed))


@pytest.fixture(scope="module")
def made(dataset, tmp_path_factory):
    """Return the shipped program, calibrated for these agents, with other knobs."""

    def program(name: str, knobs: dict) -> Path:
        folder = tmp_path_factory.mktemp("programs") / name
        own = shutil.copytree(SHIPPED, folder / "own")
        manifest = json.loads((own / "manifest.json").read_text())
        digests = [agent.reading_digest() for agent in dataset.registry]
        manifest["registry"]["calibrated"] = digests
        (own / "manifest.json").write_text(json.dumps(manifest))
        loaded = load(str(own), dataset.registry)
        loaded.knobs.set(knobs)
        save(loaded, folder / "made", manifest)
        return folder / "made"

    return program


def promoted(candidate: Path, champion: Path, dataset, **options):
    return promote(str(candidate), dataset, cast("Models", Held(champion)), None, **options)


def test_requests_decide_that_no_program_was_fitted_on(dataset, made, caplog):
    caplog.set_level(logging.WARNING)
    same = made("same", {})
    done = promoted(same, same, dataset)
    assert done.comparison is not None
    assert done.comparison.split == "test"
    assert "took part in fitting" not in caplog.text
    manifest = json.loads((same / "manifest.json").read_text())
    manifest["dataset"]["sha256"] = dataset.digests()
    (same / "manifest.json").write_text(json.dumps(manifest))
    promoted(same, same, dataset, split="validation")
    assert caplog.text.count("took part in fitting") == 1
    assert "in the candidate, " in caplog.text


def test_a_working_champion_is_not_replaced_by_one_that_assigns_nothing(dataset, made):
    """It ranks better, and was not calibrated for these agents."""
    champion = made("poor", DESCRIPTIONS_ALONE | ALL_ASSIGNED)
    done = promoted(SHIPPED, champion, dataset)
    assert not done.promoted
    assert "assigns nothing here" in done.reason
    assert promoted(SHIPPED, champion, dataset, force=True).promoted


def test_fewer_right_agents_do_not_win_where_the_champion_assigns_nothing(dataset, made):
    poor = made("poor", DESCRIPTIONS_ALONE | ALL_ASSIGNED)
    requests = dataset.splits["test"]
    ours, theirs = (
        [outcome.correct for outcome in delegate_all(load(str(p), dataset.registry), requests, "")]
        for p in (poor, SHIPPED)
    )
    lost = [r for r, a, b in zip(requests, ours, theirs, strict=True) if b and not a][:2]
    kept = [r for r, a, b in zip(requests, ours, theirs, strict=True) if a and b][:6]
    few = (*lost, *kept)
    few = replace(dataset, splits=dict.fromkeys(dataset.splits, few))
    done = promoted(poor, SHIPPED, few)
    assert done.comparison is not None
    assert done.comparison.winner is None
    assert done.comparison.second.assigned == 0 < done.comparison.first.assigned
    assert not done.promoted


def test_a_program_that_was_calibrated_anew_can_win(dataset, made):
    bias = load("default", dataset.registry).knobs.values.confidence.correct.bias
    drifted = made("drifted", ALL_ASSIGNED | {"confidence.correct.bias": bias - 3})
    done = promoted(made("anew", ALL_ASSIGNED), drifted, dataset)
    assert done.promoted
    assert "confidence is closer" in done.reason
