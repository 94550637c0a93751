"""Tasks that are scored together keep their own caller: permissions, and whom it excludes."""

from unittest.mock import Mock

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small import HashedWords, delegator, office_registry

from task_delegator.choice import Choice
from task_delegator.delegation import Delegation
from task_delegator.delegator import Delegator
from task_delegator.errors import EmbedderError
from task_delegator.retrieval import Asked, Retrieval, many, score_many

PROGRAM = delegator(office_registry())
NAMES = sorted(agent.name for agent in PROGRAM.registry)
TASKS = ["the refund of my order is late", "book a train", "ask Ada about my salary", "xylophone"]
ASKED = st.builds(
    Asked,
    st.sampled_from(TASKS),
    st.sampled_from([None, frozenset[str](), frozenset({"hr.pay"})]),
    st.builds(Choice, exclude=st.frozensets(st.sampled_from(NAMES)), k=st.integers(1, 6)),
)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(ASKED, max_size=8))
def test_each_is_ranked_as_alone(asked):
    retrieve, knobs = PROGRAM.retrieve, PROGRAM.knobs.values
    scored = list(score_many(retrieve, asked, knobs))
    assert len(scored) == len(asked)
    for one, found in zip(asked, scored, strict=True):
        ranked = retrieve(task=one.task, knobs=knobs, found=found)
        alone = retrieve(task=one.task, knobs=knobs, permissions=one.permissions, choice=one.choice)
        assert [c.name for c in ranked.candidates] == [c.name for c in alone.candidates]
        for own, other in zip(ranked.candidates, alone.candidates, strict=True):
            assert own.probability == pytest.approx(other.probability, abs=1e-6)
        assert ranked.signals.maxsim == pytest.approx(alone.signals.maxsim, abs=1e-6)


def test_where_samples_are_many_fewer_tasks_are_scored_at_once(monkeypatch):
    """What is held at once is bounded: cosines of tasks with agents, and with their samples."""
    index = PROGRAM.retrieve.library.index({})
    assert index.samples_held > len(index.names)
    monkeypatch.setattr(many, "_NUMBERS", 2 * index.samples_held - 1)
    together = Mock(wraps=many._scores)
    monkeypatch.setattr(many, "_scores", together)
    found = list(score_many(PROGRAM.retrieve, [*map(Asked, TASKS)], PROGRAM.knobs.values))
    assert len(found) == len(TASKS)
    assert [len(call.args[1]) for call in together.call_args_list] == [1] * len(TASKS)


def test_scores_are_ranked_by_the_delegation_that_they_are_given_to():
    (found,) = score_many(PROGRAM.retrieve, [Asked(TASKS[0])], PROGRAM.knobs.values)
    assert isinstance(found, Retrieval)
    assert not found.ranked
    answer, alone = PROGRAM(TASKS[0], found=found), PROGRAM(TASKS[0])
    assert answer.agent == alone.agent
    assert answer.confidence == pytest.approx(alone.confidence, abs=1e-6)


class RefusingWords(HashedWords):
    """An embedder that refuses texts with some word, and with them whatever it is given beside."""

    def __init__(self, word: str) -> None:
        self.word = word

    def encode(self, texts):
        if any(self.word in text for text in texts):
            raise EmbedderError(f"refused: {self.word}")
        return super().encode(texts)


def test_one_text_that_the_embedder_refuses_stops_no_other_task():
    program = Delegator(office_registry(), RefusingWords("xylophone"))
    answers = list(program.delegate_each([*TASKS, TASKS[0]]))
    assert [isinstance(answer, EmbedderError) for answer in answers] == [False] * 3 + [True, False]
    named = [answer.agent for answer in answers if isinstance(answer, Delegation)]
    assert named == [program(task).agent for task in (*TASKS[:3], TASKS[0])]
    with pytest.raises(EmbedderError, match="xylophone"):
        program.delegate_many(TASKS)


def test_an_embedder_that_refuses_every_task_is_not_asked_about_all():
    embed = RefusingWords("no such word")
    program = Delegator(office_registry(), embed)
    program.warm_up()
    embed.word = ""
    embed.encode = Mock(wraps=embed.encode)
    with pytest.raises(EmbedderError):
        list(program.delegate_each([f"task {number}" for number in range(50)]))
    assert embed.encode.call_count < 10
