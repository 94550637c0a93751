"""Fine-tuning a reranker without torch: what is trained on, and what evaluations say."""

from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest
from small import HashedWords, make_agent, small_dataset

from optimize.__main__ import main
from optimize.data.dataset import load_dataset
from optimize.finetune.encoder.sources import sources_to_train_on
from optimize.finetune.reranker.lists import (
    Candidates,
    candidates_to_ask,
    candidates_to_train_on,
    draw_lists,
)
from optimize.finetune.reranker.validation import rank
from task_delegator.errors import InputError
from task_delegator.registry import Registry

SIZES = {"size": 5, "limit": 400, "seed": 0}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return load_dataset(small_dataset(tmp_path_factory.mktemp("data") / "registry"))


@pytest.fixture(scope="module")
def found(dataset):
    return candidates_to_train_on(dataset, HashedWords(), **SIZES)


def _candidates(task="a task", logits=(0.0, -1.0, -2.0), acceptable=(0,)):
    texts = tuple(f"agent {place}" for place in range(len(logits)))
    return Candidates("registry", task, texts, logits, frozenset(acceptable))


def test_candidates_stand_in_the_order_of_retrieval_with_an_acceptable_one(found):
    assert found
    for own in found:
        assert own.logits[0] == 0
        assert list(own.logits) == sorted(own.logits, reverse=True)
        assert len(own.texts) == len(own.logits) == 5
        assert own.acceptable <= set(range(5))
        assert own.acceptable


def test_requests_are_those_of_the_train_split_and_samples_that_the_index_lacks(dataset, found):
    samples = {s for agent in dataset.registry for s in agent.user_request_samples}
    tasks = {own.task for own in found}
    assert tasks - samples
    assert tasks & samples
    for own in found:
        assert all(own.task not in text.split(" | ")[1:] for text in own.texts)


def test_nothing_of_validation_or_test_is_asked_or_shown(dataset, found):
    held = {r.text for name in ("validation", "test") for r in dataset.splits[name]}
    assert not held & {own.task for own in found}
    shown = {part for own in found for text in own.texts for part in text.split(" | ")}
    assert not held & shown


def test_what_a_test_split_holds_is_not_trained_on(dataset):
    tested = dataset.splits["test"][0]
    leaky = replace(dataset, splits=dataset.splits | {"train": (tested,)})
    (clean,) = sources_to_train_on([leaky], [])
    tasks = {own.task for own in candidates_to_train_on(clean, HashedWords(), **SIZES)}
    assert tested.text not in tasks


def test_a_sample_of_two_agents_is_held_out_of_both_and_right_for_both(dataset):
    shared = "print a label for the parcel"
    agents = [
        make_agent("Post", "sends parcels", shared, "weigh it", "send it", "pick it up"),
        make_agent("Shop", "sells goods", shared, "buy it", "show it", "wrap it"),
        make_agent("Bank", "keeps money", "pay it", "owe it", "lend it", "save it"),
    ]
    own = replace(dataset, registry=Registry(agents), splits=dict.fromkeys(dataset.splits, ()))
    drawn = [candidates_to_train_on(own, HashedWords(), size=3, limit=9, seed=s) for s in range(9)]
    asked = [one for found in drawn for one in found if one.task == shared]
    assert asked
    for one in asked:
        assert len(one.acceptable) == 2
        assert not any(shared in text for text in one.texts)


def test_validation_requests_are_asked_of_the_whole_registry(dataset):
    asked = candidates_to_ask(dataset, HashedWords(), **SIZES)
    assert {own.task for own in asked} <= {r.text for r in dataset.splits["validation"]}
    fewer = candidates_to_ask(dataset, HashedWords(), size=5, limit=3, seed=0)
    assert len(fewer) == 3


def test_an_acceptable_agent_stays_among_the_first():
    own = _candidates(logits=(0.0, -1.0, -2.0, -3.0), acceptable=(3,))
    assert own.first(2).texts == ("agent 0", "agent 3")
    assert own.first(2).logits == (0.0, -3.0)
    assert own.first(2).acceptable == {1}
    assert own.first(9) == own
    assert _candidates(acceptable=()).first(2).texts == ("agent 0", "agent 1")


def test_all_requests_of_a_registry_are_drawn_before_one_is_drawn_again():
    source = [_candidates(task=str(number)) for number in range(6)]
    drawn = draw_lists([source, []], size=3, number=12, seed=0)
    assert sorted(own.task for own in drawn[:6]) == sorted(own.task for own in drawn[6:])
    assert {own.task for own in drawn} == {own.task for own in source}


def test_the_same_seed_draws_the_same_lists(found):
    other = [replace(own, registry="other") for own in found]
    drawn = [draw_lists([found, other], size=4, number=20, seed=s) for s in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert {own.registry for own in drawn[0]} == {"registry", "other"}


def test_registries_without_requests_are_refused(dataset):
    lonely = replace(
        dataset,
        registry=Registry([make_agent("One", "does one thing"), make_agent("Two", "the other")]),
        splits=dict.fromkeys(dataset.splits, ()),
    )
    assert candidates_to_train_on(lonely, HashedWords(), **SIZES) == []
    with pytest.raises(InputError, match="no training registry has train requests or samples"):
        draw_lists([[]], size=3, number=4, seed=0)


@pytest.mark.parametrize("agents", [[], [make_agent("One", "does it", "do it", "a", "b", "c")]])
def test_a_registry_with_nothing_to_rank_is_passed_over(dataset, agents):
    own = replace(dataset, registry=Registry(agents), splits=dict.fromkeys(dataset.splits, ()))
    assert candidates_to_train_on(own, HashedWords(), **SIZES) == []


def test_requests_are_ranked_alike_in_parts_and_at_once(dataset, found, monkeypatch):
    monkeypatch.setattr("optimize.finetune.reranker.lists._TOGETHER", 7)
    assert candidates_to_train_on(dataset, HashedWords(), **SIZES) == found


def test_a_request_whose_agent_is_not_ranked_counts_as_wrong():
    asked = [_candidates(), _candidates(acceptable=(1,)), _candidates(acceptable=())]
    figures = rank(asked, lambda pairs: np.zeros(len(pairs)))
    assert figures["n"] == 3
    assert figures["top1"] == figures["retrieval_top1"] == pytest.approx(1 / 3)
    assert figures["mrr"] == pytest.approx((1 + 1 / 2) / 3)
    assert figures["fits"] == 0.5


def test_scores_are_added_to_what_retrieval_says():
    asked = [_candidates(acceptable=(1,)), _candidates(acceptable=(0,))]
    helpful = rank(asked, lambda _: np.array([0, 1.5, 0, 0.9, 0, 0]))
    assert (helpful["top1"], helpful["retrieval_top1"], helpful["fits"]) == (1.0, 0.5, 1.0)
    harmful = rank(asked, lambda _: np.array([0, 0.5, 0, 0, 1.5, 0]))
    assert (harmful["top1"], harmful["mrr"]) == (0.0, 0.5)


@pytest.mark.skipif(find_spec("torch") is not None, reason="the extra finetune is installed")
def test_a_reranker_without_its_extras_names_them(tmp_path, capsys):
    data = small_dataset(tmp_path / "data")
    command = ["finetune", "reranker", "--train", str(data), "--keep-out"]
    assert main([*command, "--out", str(tmp_path / "out")]) == 2
    line = "torch is not installed; run pip install 'task-delegator[encoder,finetune]'"
    assert capsys.readouterr().err.rstrip().endswith(line)
