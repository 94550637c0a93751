"""Signals mean the same for either head and any number of agents."""

from dataclasses import replace

import numpy as np
import pytest
from small import ROOT, HashedWords, make_agent

from optimize.data.dataset import load_dataset
from task_delegator.artifact.store import load
from task_delegator.knobs import KnobValues
from task_delegator.registry.agents import Registry
from task_delegator.retrieval import linear_head as head
from task_delegator.retrieval.fusion import score, signals
from task_delegator.retrieval.index import Index
from task_delegator.retrieval.retrieve import Signals
from task_delegator.retrieval.standardize import standardize


def seen(registry: Registry, task: str) -> Signals:
    index, knobs = Index(registry, HashedWords()), KnobValues()
    return signals(index, score(index, index.read(task), knobs), np.arange(1), knobs)


@pytest.fixture(scope="module")
def dataset():
    return load_dataset(ROOT / "datasets")


def heard(dataset, monkeypatch, softmax_agents):
    """Return the head's signal and P(some agent fits), in scope and out of it."""
    monkeypatch.setattr(head, "SOFTMAX_AGENTS", softmax_agents)
    program = load("default", dataset.registry)
    texts = [request.text for request in dataset.splits["validation"][:60]]
    texts += dataset.out_of_scope["validation"][:40]
    evidence = [program(text).evidence for text in texts]
    return (
        np.array([found.signals.head_margin for found in evidence]),
        np.array([found.in_scope_score for found in evidence]),
    )


@pytest.mark.slow
def test_one_agent_more_than_softmax_takes_does_not_shift_the_signal(dataset, monkeypatch):
    softmax, fits = heard(dataset, monkeypatch, len(dataset.registry))
    analysis, fits_then = heard(dataset, monkeypatch, len(dataset.registry) - 1)
    for part in (slice(60), slice(60, None)):
        assert np.median(analysis[part]) == pytest.approx(np.median(softmax[part]), abs=0.25)
    assert np.corrcoef(softmax, analysis)[0, 1] > 0.7
    assert np.abs(fits - fits_then).mean() < 0.08


def test_the_head_of_fewer_than_two_agents_says_nothing():
    assert seen(Registry([make_agent("Ada", "angry customers")]), "refund").head_margin == 0
    lone = [make_agent("Ada", "angry customers"), make_agent("Bo", "refunds", "refund me")]
    assert seen(Registry(lone), "refund").head_margin == 0


def test_the_signal_of_the_head_is_a_margin(office):
    index, knobs = Index(office, HashedWords()), KnobValues()
    scored = score(index, index.read("money back please"), knobs)
    logits = np.full(len(office), np.nan)
    logits[[0, 2, 3]] = 1.0, 5.0, 2.0
    channels = replace(
        scored.channels, head=logits, texts=replace(scored.channels.texts, trust=None)
    )
    scored = replace(scored, channels=channels, z_scores=scored.z_scores | standardize(channels))
    spread = np.std([1.0, 5.0, 2.0])
    assert signals(index, scored, np.arange(1), knobs).head_margin == pytest.approx(
        (5 - 2) / spread
    )


@pytest.mark.slow
def test_a_caller_of_few_agents_is_not_turned_away(dataset):
    """Among few agents a logit is small, whatever is asked: a quarter would be."""
    rng, everyone, turned_away = np.random.default_rng(0), list(dataset.registry), []
    for _ in range(8):
        agents = [everyone[place] for place in rng.choice(len(everyone), 5, replace=False)]
        few, names = Registry(agents), {agent.name for agent in agents}
        program = load("default", few, allow_uncalibrated=True)
        asked = [r.text for r in dataset.splits["validation"] if set(r.acceptable) & names]
        turned_away += [program(text).decision == "none" for text in asked]
    assert np.mean(turned_away) < 0.1


def test_the_first_place_is_held_against_the_closest_description(office):
    index, knobs = Index(office, HashedWords()), KnobValues()
    scored = score(index, index.read("money back please"), knobs)
    closest = np.argsort(-scored.channels.description)
    first = signals(index, scored, closest, knobs)
    gap = scored.channels.description[closest[0]] - scored.channels.description[closest[1]]
    assert first.described == 0.0
    assert first.described_ahead == pytest.approx(gap)
    other = signals(index, scored, closest[[1, 0]], knobs)
    assert other.described == other.described_ahead == pytest.approx(-gap)
    lone = signals(index, scored, closest[1:2], knobs)
    assert (lone.described, lone.described_ahead) == (pytest.approx(-gap), 0.0)


def test_whether_the_first_place_has_samples(office):
    index, knobs = Index(office, HashedWords()), KnobValues()
    scored = score(index, index.read("money back please"), knobs)
    for place, agent in enumerate(index.agents):
        found = signals(index, scored, np.array([place]), knobs)
        assert found.first_sampled == float(bool(agent.user_request_samples))
    assert {bool(agent.user_request_samples) for agent in index.agents} == {True, False}
