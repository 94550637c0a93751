"""The search over retrieval's knobs: what it scores, keeps and goes on with."""

import json
import pickle

import cloudpickle
import numpy as np
import optuna
import pytest
from small import HashedWords, office_registry, only, small_dataset

from optimize.__main__ import main
from optimize.data import Request
from optimize.search.fit import fit_temperature, fit_weights
from optimize.search.retrieval import MIN_RECALL, measure, search, shorten_shortlist
from optimize.search.scored import ScoredRequests
from optimize.search.study import StudyLocation
from task_delegator.delegator import Delegator
from task_delegator.errors import InputError
from task_delegator.knobs import KnobValues
from task_delegator.registry import Registry
from task_delegator.retrieval.channels import CHANNELS

ASKED = {"pay my money back": "Refunds", "a hotel in Rome": "Travel", "shouting": "Ada"}


@pytest.fixture
def office() -> Registry:
    """Agents of which some have no samples, but passages to read."""
    told = {"instructions": "Look at the calendar of fairs first.\n\nSend invitations by post."}
    return Registry(
        agent if agent.user_request_samples else agent.model_copy(update=told)
        for agent in office_registry()
    )


@pytest.fixture(scope="module")
def scored(dataset) -> ScoredRequests:
    index = Delegator(dataset.registry).retrieve.library.index({})
    return ScoredRequests(index, dataset.splits["validation"])


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


@pytest.mark.parametrize("learned", [{}, {"Refunds": ("give me my money",)}], ids=["", "learned"])
def test_requests_that_were_sent_to_another_process_score_the_same(learned, office):
    index = Delegator(office, HashedWords()).retrieve.library.index(learned)
    requests = [Request(text, (name,)) for text, name in ASKED.items()]
    here = ScoredRequests(index, requests)
    scored_before = here.fused(KnobValues())
    there = pickle.loads(cloudpickle.dumps(here))
    assert there.readings == here.readings
    for changed in ({}, {"bm25_k1": 2.0}, {"bm25_b": 0.3}, {"head_c": 3.0}, {"passages": 4}):
        knobs = KnobValues().replaced({f"retrieval.{name}": v for name, v in changed.items()})
        for channel in CHANNELS:
            ours, theirs = (one.z_scores(channel, knobs) for one in (here, there))
            assert np.array_equal(ours, theirs, equal_nan=True), (channel, changed)
        assert np.array_equal(there.ranks(there.fused(knobs)), here.ranks(here.fused(knobs)))
    assert np.array_equal(there.fused(KnobValues()), scored_before)


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


@pytest.mark.slow
def test_a_search_goes_on_where_it_stopped(scored, tmp_path):
    storage = f"sqlite:///{tmp_path}/study.db"
    _, first = search(
        scored, [KnobValues()], trials=4, seed=1, location=StudyLocation("s", storage)
    )
    chosen, both = search(
        scored, [KnobValues()], trials=7, seed=2, location=StudyLocation("s", storage)
    )
    number = optuna.load_study(study_name="s", storage=storage).user_attrs["chosen_trial"]
    assert shorten_shortlist(scored, both[number].knobs) == chosen
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
