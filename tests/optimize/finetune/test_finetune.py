import random
import sys
from dataclasses import replace

import dspy
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from recorded import recorded_lm
from small import HashedWords, make_agent, small_dataset

from optimize.__main__ import main
from optimize.data.dataset import Request, load_dataset
from optimize.finetune import shortlists as shortlists_module
from optimize.finetune.decontaminate import decontaminate
from optimize.finetune.learning_curve import choose_checkpoint, should_stop
from optimize.finetune.order_sensitivity import picks
from optimize.finetune.shortlists import RetrievedRequests, draw_shortlists
from task_delegator.knobs import KnobValues, LMKnobs
from task_delegator.registry.agents import Registry
from task_delegator.signatures import NONE_SLOT, SLOTS
from task_delegator.stages.cards import Shortlist as Cards
from task_delegator.stages.classify import ClassifyAgent
from task_delegator.text.overlap import fold


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> RetrievedRequests:
    folder = small_dataset(tmp_path_factory.mktemp("registry"))
    return RetrievedRequests(
        load_dataset(folder), ["train"], KnobValues(), HashedWords(), samples=True
    )


def test_a_drawn_shortlist_holds_the_right_agent_or_answers_none(source):
    drawn = list(draw_shortlists([source], 400, seed=0))
    without = [shortlist for shortlist in drawn if not shortlist.acceptable]
    assert 10 < len(without) < 70  # some 8 %
    for shortlist in drawn:
        assert 1 <= len(shortlist.agents) <= shortlists_module.MAX_AGENTS
        assert len({agent.name for agent in shortlist.agents}) == len(shortlist.agents)
        assert shortlist.slot == (
            SLOTS[min(shortlist.acceptable)] if shortlist.acceptable else NONE_SLOT
        )


def test_the_right_agent_stands_in_every_place_alike(source):
    drawn = [
        s for s in draw_shortlists([source], 1500, seed=1) if len(s.agents) == 5 and s.acceptable
    ]
    counts = np.bincount([min(s.acceptable) for s in drawn], minlength=5)
    assert counts.min() > 0.6 * len(drawn) / 5


def test_a_task_is_never_among_the_samples_shown(source):
    for shortlist in draw_shortlists([source], 300, seed=2):
        shown = [s for agent in shortlist.agents for s in agent.user_request_samples]
        assert shortlist.task not in shown
        assert all(a.description or a.user_request_samples for a in shortlist.agents)


def test_agents_look_alike_and_cheap_first(source):
    drawn = list(draw_shortlists([source], 400, seed=7))
    for shown in drawn:
        assert len({bool(agent.description) for agent in shown.agents}) == 1
        assert all(len(agent.user_request_samples) <= 2 for agent in shown.agents)

    def characters(shortlists) -> float:
        return float(np.mean([len(Cards(s.agents).text()) / len(s.agents) for s in shortlists]))

    assert characters(drawn[:100]) < characters(drawn[-100:])


def test_the_right_agent_is_not_told_by_what_it_shows(tmp_path):
    """Some agents have samples to show, others none."""
    dataset = load_dataset(small_dataset(tmp_path))
    agents = [
        agent.model_copy(update={"user_request_samples": agent.user_request_samples[: n % 3]})
        for n, agent in enumerate(dataset.registry)
    ]
    dataset = replace(dataset, registry=Registry(agents))
    source = RetrievedRequests(dataset, ["train"], KnobValues(), HashedWords(), samples=True)
    for shown in draw_shortlists([source], 200, seed=1):
        assert len({len(agent.user_request_samples) for agent in shown.agents}) == 1


def test_the_lm_is_shown_the_task_without_agents_names(tmp_path):
    dataset = load_dataset(small_dataset(tmp_path))
    desk = make_agent("Trello Desk", description="Moves a card.")
    registry = Registry([desk, *dataset.registry])
    splits = {"train": (Request("ask the Trello Desk to move my card", ("Trello Desk",)),)}
    dataset = replace(dataset, registry=registry, splits=splits)
    source = RetrievedRequests(dataset, ["train"], KnobValues(), HashedWords())
    for shown in draw_shortlists([source], 50, seed=0):
        assert "Trello Desk" not in shown.task
        assert "move my card" in shown.task


def test_the_same_seed_draws_the_same_shortlists(source):
    assert list(draw_shortlists([source], 20, seed=3)) == list(
        draw_shortlists([source], 20, seed=3)
    )
    assert list(draw_shortlists([source], 20, seed=3)) != list(
        draw_shortlists([source], 20, seed=4)
    )


def test_agents_are_drawn_at_random_first_and_as_retrieved_later(source):
    place = {request.text: i for i, request in enumerate(source.requests)}
    drawn = list(draw_shortlists([source], 400, seed=6))

    def near(shortlists) -> float:
        """Return the share of rivals that are among the first few retrieved."""
        rivals = [
            fold(agent.name)
            in [fold(found.name) for found in source.retrieve(place[s.task], len(s.agents) + 1)]
            for s in shortlists
            for i, agent in enumerate(s.agents)
            if i not in s.acceptable
        ]
        return float(np.mean(rivals))

    assert np.mean([len(s.agents) for s in drawn[:80]]) < np.mean(
        [len(s.agents) for s in drawn[-80:]]
    )
    assert near(drawn[-160:]) == 1.0
    assert near(drawn[:80]) < 1.0


def test_what_has_to_stay_unseen_is_left_out(tmp_path):
    whole = load_dataset(small_dataset(tmp_path / "one"))
    first, second, *_ = list(whole.registry)
    sample = second.user_request_samples[0]
    twin = make_agent(f" {first.name.lower()} ", "Does it elsewhere.", f"{sample.upper()}  ")
    kept_out = replace(whole, registry=Registry([twin]), splits={}, out_of_scope={})
    (rest,) = decontaminate([whole], [kept_out])
    assert first.name in whole.registry
    assert first.name not in rest.registry
    assert {request.expected for request in rest.splits["train"]} <= {a.name for a in rest.registry}
    assert sample not in rest.registry[second.name].user_request_samples
    tested = whole.splits["test"][0].text
    trained = replace(whole, splits={**whole.splits, "train": (Request(tested, (second.name,)),)})
    assert not decontaminate([trained], [kept_out])[0].splits["train"]


def test_an_agent_that_has_to_stay_unseen_is_no_acceptable_answer_either(tmp_path):
    whole = load_dataset(small_dataset(tmp_path / "one"))
    first, second, *_ = (agent.name for agent in whole.registry)
    both = (Request("who pays?", (second, first)),)
    twin = Registry([make_agent(first.lower(), "Does it elsewhere.")])
    kept_out = replace(whole, registry=twin, splits={}, out_of_scope={})
    (rest,) = decontaminate([replace(whole, splits={**whole.splits, "train": both})], [kept_out])
    assert [request.acceptable for request in rest.splits["train"]] == [(second,)]


def test_a_registry_of_agents_that_are_all_acceptable_misses_none(tmp_path):
    dataset = load_dataset(small_dataset(tmp_path))
    names = tuple(agent.name for agent in dataset.registry)
    dataset = replace(dataset, splits={"train": (Request("anything", names),)})
    source = RetrievedRequests(dataset, ["train"], KnobValues(), HashedWords())
    drawn = list(draw_shortlists([source], 100, seed=0))
    assert all(shortlist.acceptable == {0} for shortlist in drawn)


def test_a_sample_that_finds_itself_counts_as_hard_as_the_requests_do(source):
    samples = {s for agent in source.agents for s in agent.user_request_samples}
    own = np.array([request.text in samples for request in source.requests])
    assert own.any()
    assert source.uncertainty[own] == pytest.approx(source.uncertainty[~own].mean())


def test_hard_requests_are_drawn_more_often(source):
    place = {request.text: i for i, request in enumerate(source.requests)}
    drawn = [source.uncertainty[place[s.task]] for s in draw_shortlists([source], 500, seed=5)]
    assert np.mean(drawn) > np.mean(source.uncertainty)


def test_evaluated_shortlists_are_in_the_order_of_retrieval(source):
    shown = source.shortlists(5)
    assert 0 < len(shown) <= len(source.requests)
    assert all(s.acceptable and len(s.agents) == 5 for s in shown)


def test_the_prompt_is_what_the_program_sends(source):
    (shortlist,) = draw_shortlists([source], 1, seed=6)
    lm, engine = recorded_lm(lambda prompt: '{"slot": "A"}')
    with dspy.context(lm=lm):
        ClassifyAgent().ask(shortlist.task, Cards(shortlist.agents), LMKnobs(repeats=1))
    (sent,) = engine.requests
    assert [sent.system, *(message.text for message in sent.messages)] == [
        message["content"] for message in shortlist.messages()
    ]


@given(st.integers(2, 9), st.integers(0, 10_000))
def test_picks_do_not_depend_on_the_order_where_the_belief_does_not(size, seed):
    rng = random.Random(seed)
    right = frozenset({rng.randrange(size)})
    belief = np.array([rng.random() for _ in range(size + 1)])
    turned = np.array([*belief[:-1][::-1], belief[-1]])
    found = picks([right], [belief], [turned])
    best = int(np.argmax(belief[:-1]))
    assert not found.flips[0]
    assert found.order[0] == found.reversed[0] == found.both[0] == (best in right)
    assert found.retrieval[0] == (0 in right)


def test_an_lm_that_answers_the_first_slot_always_flips():
    belief = np.array([0.8, 0.1, 0.05, 0.05])
    found = picks([frozenset({0})], [belief], [belief])
    assert found.means() == {
        "retrieval": 1.0,
        "order": 1.0,
        "reversed": 0.0,
        "both": 0.0,  # over both orders the first and the last place tie
        "flips": 1.0,
    }


def test_the_best_state_is_a_trained_one_and_the_later_among_equals():
    course = [{"score": score} for score in (0.9, 0.4, 0.5, 0.5, 0.3)]
    assert choose_checkpoint(course[:1]) is None
    assert [choose_checkpoint(course[: n + 1]) for n in range(1, 5)] == [1, 2, 3, 3]


def test_training_ends_where_patience_does():
    course = [{"score": score} for score in (0.9, 0.5, 0.4, 0.3)]
    assert [should_stop(course[:n], patience=2) for n in range(1, 5)] == [False, False, False, True]


def test_a_missing_extra_is_named(tmp_path, capsys, monkeypatch):
    folder = small_dataset(tmp_path / "registry")
    for ours in (
        "optimize.finetune.train",
        "optimize.finetune.lora",
        "optimize.finetune.gguf_adapter",
    ):
        monkeypatch.delitem(sys.modules, ours, raising=False)
    for missing in ("torch", "gguf"):
        monkeypatch.setitem(sys.modules, missing, None)
    arguments = ["finetune", "lm", "--train", str(folder), "--out", str(tmp_path / "out")]
    assert main(arguments) == 2
    assert "run pip install 'task-delegator[finetune]'" in capsys.readouterr().err
