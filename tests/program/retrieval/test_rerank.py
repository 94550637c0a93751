"""A reranker between retrieval and the LM: what it reads, what its scores do, and when."""

import copy
import json

import cloudpickle
import dspy
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rerankers import SharedWords
from small import HashedWords, make_agent, office_registry

from task_delegator.delegator import Delegator
from task_delegator.errors import EmbedderError, InputError, RerankerError
from task_delegator.registry.agents import Registry
from task_delegator.retrieval.fusion import score
from task_delegator.retrieval.rerank import Rerank, best_places, with_scores
from task_delegator.retrieval.retrieve import glance
from task_delegator.retrieval.without import without
from task_delegator.tracing.redaction import redact, shown_names

TASKS = ["money back please", "copies of the invoice please", "book a hotel", "hello there"]
PERMITTED = ["Ada", "Events", "Invoices", "Refunds", "Travel"]


def program(reranker=None, registry=None, **knobs):
    made = Delegator(registry or office_registry(), HashedWords(), reranker=reranker)
    changed = {"rerank": 1.0, **knobs} if reranker else knobs
    made.knobs.set({f"retrieval.{name}": value for name, value in changed.items()})
    return made


def names_read(reranker):
    return {text.split(" | ")[0] for _, texts in reranker.read for text in texts}


numbers = st.floats(-20, 20, allow_nan=False)


@given(
    st.lists(numbers, min_size=2, max_size=12),
    st.lists(numbers, min_size=12, max_size=12),
    st.integers(1, 12),
    st.floats(0.01, 10),
)
def test_nobody_overtakes_because_it_was_not_read(logits, scores, number, weight):
    before = np.array(logits)
    places = best_places(before, number)
    read = np.array(scores[: len(places)])
    after = with_scores(before, places, read, weight)
    others = np.setdiff1d(np.arange(len(before)), places)
    assert after[places] == pytest.approx(before[places] + weight * (read - read.max()))
    for other in others:
        assert np.all(after[places] >= after[other] - 1e-9)
    # Among themselves those that were not read stand as before.
    assert np.diff(after[others]) == pytest.approx(np.diff(before[others]), abs=1e-9)


def test_who_is_left_out_stays_out():
    before = np.array([1.0, -np.inf, 0.0])
    places = best_places(before, 10)
    assert places.tolist() == [0, 2]
    assert with_scores(before, places, np.array([0.0, 5.0]), 1.0).tolist() == [-4, -np.inf, 0]


@pytest.mark.parametrize("task", TASKS)
def test_scores_move_the_posterior_and_are_shown(task):
    own = SharedWords()
    plain, reranked = program()(task), program(own)(task)
    seen = reranked.evidence.retrieval
    assert set(seen.reranker_scores) == set(names_read(own))
    before = {c.name: np.log(c.probability) for c in plain.evidence.retrieval.posterior}
    after = {c.name: np.log(c.probability) for c in seen.posterior}
    shifts = {name: after[name] - before[name] - seen.reranker_scores[name] for name in after}
    assert np.ptp(list(shifts.values())) == pytest.approx(0, abs=1e-6)
    assert reranked.evidence.signals.rerank == max(seen.reranker_scores.values())
    assert seen.to_dict()["reranker_scores"] == seen.reranker_scores
    assert reranked.usage.lm_calls == 0


def test_it_reads_the_closest_samples_of_so_many_agents():
    own = SharedWords()
    agents = [
        make_agent(f"Desk {i}", "does things", "feed the cat", f"wash the car {i}", "paint it")
        for i in range(6)
    ]
    program(own, Registry(agents), reranked=3)("wash the car please")
    [(task, texts)] = own.read
    assert task == "wash the car please"
    assert len(texts) == 3
    for text in texts:
        name, first, *_ = text.split(" | ")
        assert first == f"wash the car {name[-1]}"


def test_without_a_weight_nothing_is_read():
    own = SharedWords()
    found = program(own, rerank=0.0)("money back please")
    assert own.read == []
    assert found.evidence.retrieval.reranker_scores == {}
    assert found.evidence.signals.rerank == 0
    assert found.top3 == program()("money back please").top3


def test_a_sure_task_is_not_read():
    own, task = SharedWords(), "hello there"
    first = program()(task).top3[0].probability
    sure = program(own, rerank_below=first)(task)
    assert own.read == []
    assert sure.top3 == program()(task).top3
    program(own, rerank_below=first + 1e-6)(task)
    assert len(own.read) == 1


@pytest.mark.parametrize("permissions", [(), ("hr.pay",), None])
def test_agents_that_the_caller_may_not_use_are_never_read(permissions):
    own = SharedWords()
    program(own)("my salary is late", permissions=permissions)
    assert ("Payroll" in names_read(own)) is (permissions != ())
    assert set(PERMITTED) <= names_read(own)


def test_a_trace_shows_no_name_that_a_permission_hides():
    made = program(SharedWords())
    found = made.retrieve(task="my salary is late", knobs=made.knobs.values)
    assert "Payroll" in (found.reranker_scores or {})
    shown = json.dumps(redact(found, shown_names(made.registry), texts=False))
    assert "Payroll" not in shown
    assert "reranker_scores" in shown


def test_agents_that_the_caller_excludes_are_never_read():
    own = SharedWords()
    found = program(own)("money back please", exclude=["Refunds", "Ada"])
    assert names_read(own).isdisjoint({"Refunds", "Ada"})
    assert "Refunds" not in found.evidence.retrieval.reranker_scores


def test_an_agent_that_was_removed_is_never_read():
    own = SharedWords()
    made = program(own)
    made("money back please")
    own.read.clear()
    made.registry.remove("Refunds")
    made("money back please")
    assert "Refunds" not in names_read(own)


def test_the_order_of_registration_does_not_matter():
    agents = list(office_registry())
    one, other = (program(SharedWords(), Registry(own)) for own in (agents, agents[::-1]))
    for task in TASKS:
        assert one(task).top3 == other(task).top3
        assert one(task).evidence.retrieval == other(task).evidence.retrieval


def test_the_name_of_an_agent_is_not_read_unless_it_is_favored():
    agents = [*office_registry(), make_agent("Parcel Desk", "finds parcels", "where is it")]
    own = SharedWords()
    found = program(own, Registry(agents))("Please have Parcel Desk book a hotel in Porto")
    assert found.evidence.named == ("Parcel Desk",)
    [(task, _)] = own.read
    assert "Parcel" not in task
    assert "Parcel Desk" in {candidate.name for candidate in found.top3}


@pytest.mark.parametrize("permissions", [None, ()])
def test_many_tasks_get_the_answers_of_one(permissions):
    made = program(SharedWords(), rerank_below=0.9)
    tasks = TASKS * 20
    for task, many in zip(tasks, made.delegate_many(tasks, permissions), strict=True):
        one = made(task, permissions)
        assert [c.name for c in many.top3] == [c.name for c in one.top3]
        shares = [[c.probability for c in found.top3] for found in (many, one)]
        assert shares[0] == pytest.approx(shares[1], rel=1e-4)
        assert many.evidence.retrieval.reranker_scores == one.evidence.retrieval.reranker_scores


def test_parts_of_a_task_are_looked_at_without_it():
    own = SharedWords()
    made = program(own)
    found = made.retrieve(task="money back please", knobs=made.knobs.values)
    own.read.clear()
    assert found.index is not None
    query = made.retrieve.read("book a hotel", found.index)
    assert glance(query, made.knobs.values, found).signals.rerank == 0
    assert own.read == []


def test_a_near_miss_is_what_is_left_of_a_reranked_task():
    own = SharedWords()
    made = program(own)
    task, knobs = "money back please", made.knobs.values
    index = made.retrieve.library.index({})
    query = made.retrieve.read(task, index)
    own.read.clear()
    given = (index, query, score(index, query, knobs))
    candidates, signals = without(*given, {"Refunds"}, knobs, made.retrieve.rerank)
    assert "Refunds" not in names_read(own)
    assert len(own.read[-1][1]) == 5
    assert signals.rerank == max(SharedWords().score(task, own.read[-1][1]))
    before = {c.name: c.probability for c in without(*given, {"Refunds"}, knobs)[0]}
    texts = {text.split(" | ")[0]: text for text in own.read[-1][1]}
    scores = {name: SharedWords().score(task, [text])[0] for name, text in texts.items()}
    shifts = [
        np.log(c.probability / before[c.name]) - scores[c.name]
        for c in candidates
        if c.name in before
    ]
    assert np.ptp(shifts) == pytest.approx(0, abs=1e-5)
    with_all, seen = without(*given, (), knobs, made.retrieve.rerank)
    assert with_all == made(task).top3
    assert seen == made(task).evidence.signals
    assert without(*given, (), knobs)[1].rerank == 0


class Failing:
    id = "mine"

    def __init__(self, made):
        self._made = made

    def score(self, task, texts):
        if isinstance(self._made, Exception):
            raise self._made
        return self._made


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (ZeroDivisionError("by\nzero"), r"reranker mine: failed: ZeroDivisionError: by; mend it"),
        (KeyError("x"), r"reranker mine: failed: KeyError"),
        ([1.0], r"must give 6 finite numbers for 6 agents"),
        (np.full(6, np.nan), r"must give 6 finite numbers"),
        (["one"] * 6, r"failed: ValueError"),
        (np.zeros((6, 1)), r"must give 6 finite numbers"),
    ],
)
def test_a_reranker_that_fails_is_one_line(made, said):
    own = program(Failing(made))
    with pytest.raises(RerankerError, match=said) as caught:
        own("money back please")
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 3
    with pytest.raises(RerankerError, match=said):
        own.delegate_many(TASKS)
    assert all(isinstance(answer, RerankerError) for answer in own.delegate_each(TASKS))


def test_an_error_that_says_what_to_do_is_kept():
    with pytest.raises(EmbedderError, match="ask later"):
        program(Failing(EmbedderError("ask later")))("money back please")


def test_what_is_said_of_a_failure_shows_no_task():
    secret = "the merger with Acme closes on Friday"
    with pytest.raises(RerankerError) as caught:
        program(Failing(ValueError(f"bad input: {secret}")))(secret)
    assert "merger" not in str(caught.value)


def test_a_weight_without_a_reranker_is_refused():
    made = program(rerank=1.0)
    with pytest.raises(InputError, match="has no reranker"):
        made("money back please")


def test_copies_share_the_reranker_and_a_pickle_takes_it_along():
    class Whole(SharedWords):
        def __deepcopy__(self, memo):
            raise AssertionError("a model is copied")

    made = program(Whole())
    expected = made("money back please").top3
    for twin in (copy.deepcopy(made), made.deepcopy(), made.reset_copy()):
        assert twin("money back please").top3 == expected
        assert twin.retrieve.rerank is made.retrieve.rerank
    assert cloudpickle.loads(cloudpickle.dumps(made))("money back please").top3 == expected


def test_it_settles_tasks_before_the_lm_is_asked():
    lm = dspy.utils.DummyLM([])
    made = program(SharedWords(), rerank=20.0)
    made.set_lm(lm)
    made.knobs.set({"lm.gate": 0.5, "lm.weight": 1.0, "confidence.assign_threshold": 0.5})
    plain = program()
    plain.knobs.set({"lm.gate": 0.5, "lm.weight": 1.0, "confidence.assign_threshold": 0.5})
    task = "book a hotel"
    certain = made(task).evidence.gate.certainty
    assert certain > plain(task).evidence.gate.certainty
    assert made(task).usage.lm_calls == 0
    assert lm.history == []


def test_the_reranker_has_an_id():
    assert Rerank().id is None
    assert Rerank(SharedWords()).id == "shared-words"


class Shifted(SharedWords):
    """Count shared words from another number on."""

    def __init__(self, by: float) -> None:
        super().__init__(f"shared-words from {by}")
        self._by = by

    def score(self, task, texts):
        return super().score(task, texts) + self._by


@pytest.mark.parametrize("many", [False, True])
def test_the_task_s_own_score_stands_in_for_parts_that_are_not_read(many):
    task, found = "book a hotel in Porto and pay my late salary", []
    for by in (0.0, 6.0):
        own = Shifted(by)
        made = program(own)
        made.knobs.set({"split.threshold": 0.5, "split.several.weakest_part": 1.0})
        made.knobs.set({"scope.share": 0.1})
        # What the shift adds to the log-odds that some agent fits, the bias takes away.
        made.knobs.set({"scope.in_scope.rerank": 0.7, "scope.in_scope.bias": -0.7 * by})
        (answer,) = made.delegate_many([task]) if many else [made(task)]
        assert [read for read, _ in own.read] == [task]
        found.append((answer.several, answer.confidence))
    assert found[0][0] > 0
    assert found[0] == pytest.approx(found[1])
