"""Late interaction is what its formula says, text by text and token by token."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from small import make_agent

from task_delegator.embedders.base import Encoded
from task_delegator.retrieval import Index, token_products
from task_delegator.retrieval.int8_products import unsigned
from task_delegator.retrieval.late_interaction import LateInteraction
from task_delegator.retrieval.token_products import Compared, Tokens

DIMENSIONS = 4
_TEXTS = st.lists(st.lists(st.integers(0, 9), max_size=5), max_size=4)


def encoded(token_ids: list[int]) -> Encoded:
    vectors = np.random.default_rng(0).normal(size=(10, DIMENSIONS))
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    tokens = (units * 127).round().astype(np.int8)[token_ids]
    return Encoded(np.zeros(DIMENSIONS), np.array(token_ids, int), tokens)


def tokens_of(texts: list[Encoded]) -> Tokens:
    numbers = np.array([token for text in texts for token in text.token_ids], dtype=np.int32)
    starts = (0, *np.cumsum([len(text.token_ids) for text in texts]).tolist())
    return Tokens(tuple(unsigned(text.token_vectors) for text in texts), numbers, starts)


def compared(agents, task, rows, sampled=None):
    """Return maxsim and maxsim_reverse of some agents, all of whose texts are compared."""
    holders = np.zeros(10, dtype=int)
    for own in agents:
        holders[list({int(token) for text in own for token in text.token_ids})] += 1
    late = LateInteraction(holders, len(agents))
    near = Compared.of((tokens_of(agents[row]), range(len(agents[row]))) for row in rows)
    every = np.ones(len(rows), dtype=bool)
    alike = every if sampled is None else sampled
    return late(task.token_vectors, task.token_ids, near, alike, every)


def by_hand(agents: list[list[list[int]]], task: list[int], row: int) -> tuple[float, float]:
    """Return maxsim and maxsim_reverse of one agent, one cosine at a time."""
    held = [{token for text in own for token in text} for own in agents]

    def rarity(token: int) -> float:
        return float(np.log(1 + len(agents) / (sum(token in own for own in held) + 0.5)))

    def cosine(one: int, other: int) -> float:
        vectors = [encoded([token]).token_vectors[0].astype(float) for token in (one, other)]
        return float(vectors[0] @ vectors[1] / 127**2)

    shown = [text for text in agents[row] if text]
    if not shown or not task:
        return float("nan"), float("nan")

    def covered(ours: list[int], theirs: list[int]) -> float:
        best = [max(cosine(token, other) for other in theirs) * rarity(token) for token in ours]
        return sum(best) / sum(rarity(token) for token in ours)

    every = [token for text in shown for token in text]
    return covered(task, every), max(covered(text, task) for text in shown)


@given(st.lists(_TEXTS, min_size=1, max_size=4), st.lists(st.integers(0, 9), max_size=5))
def test_both_directions_are_the_weighted_maxima(agents, task):
    rows = np.arange(len(agents))[::-1]
    held = [[encoded(text) for text in own] for own in agents]
    maxsim, reverse = compared(held, encoded(task), rows)
    expected = np.array([by_hand(agents, task, row) for row in rows])
    np.testing.assert_allclose(np.stack([maxsim, reverse], axis=1), expected, rtol=1e-5, atol=1e-6)


@given(
    st.lists(st.tuples(_TEXTS.filter(all), st.booleans()), min_size=1, max_size=6),
    st.lists(st.integers(0, 9), min_size=1, max_size=5),
)
def test_who_has_no_samples_is_given_what_samples_bring_to_the_better_half(agents, task):
    agents = [(texts, has) for texts, has in agents if texts]
    sampled = np.array([has for _, has in agents], dtype=bool)
    every = [texts for texts, _ in agents]
    both = compared([[*map(encoded, own)] for own in every], encoded(task), range(len(every)))
    found = compared(
        [[*map(encoded, own)] for own in every], encoded(task), range(len(every)), sampled
    )
    if sampled.all() or not sampled.any():
        np.testing.assert_array_equal(found, both)
        return
    described = compared_of_all(every, task)
    for scores, evened, by_description in zip(both, found, described, strict=True):
        np.testing.assert_array_equal(evened[sampled], scores[sampled])
        order = sorted(np.flatnonzero(sampled), key=lambda i: -scores[i])
        better = order[: (len(order) + 1) // 2]
        given_them = np.mean([scores[i] - by_description[i] for i in better])
        own = scores[~sampled]
        expected = np.minimum(own + given_them, np.maximum(own, 1.0))
        np.testing.assert_allclose(evened[~sampled], expected, atol=1e-6)


def compared_of_all(agents: list[list[list[int]]], task: list[int]) -> np.ndarray:
    """Return maxsim and maxsim_reverse by descriptions alone, where tokens are as rare as among all texts."""
    holders = np.zeros(10, dtype=int)
    for own in agents:
        holders[list({token for text in own for token in text})] += 1
    late = LateInteraction(holders, len(agents))
    near = Compared.of((tokens_of([encoded(text) for text in own]), (0,)) for own in agents)
    seen = encoded(task)
    every = np.ones(len(agents), dtype=bool)
    return np.array(late(seen.token_vectors, seen.token_ids, near, every, every))


def test_an_agent_without_samples_is_level_with_one_that_differs_in_them_alone():
    agents = [make_agent("a", "60 60", "10 10"), make_agent("b", "60 60")]
    index = Index(agents, Angles())
    for scores in index.late(index.read("0 0"), np.arange(2)):
        assert scores[0] == scores[1] > np.cos(np.radians(30))


def test_samples_of_agents_without_a_description_say_nothing_of_what_samples_bring():
    agents = [make_agent("a", "", "10 0"), make_agent("b", "60 60"), make_agent("c", "70 70")]
    index = Index(agents, NameAtRightAngle())
    for scores in index.late(index.read("0 0"), np.arange(3)):
        np.testing.assert_allclose(scores, np.cos(np.radians([0, 60, 70])), atol=0.02)


def test_agents_multiplied_piece_by_piece_score_the_same(monkeypatch):
    rng = np.random.default_rng(1)
    texts = [
        [encoded(rng.integers(0, 10, rng.integers(0, 6)).tolist()) for _ in range(rng.integers(4))]
        for _ in range(20)
    ]
    task = encoded([1, 2, 3])
    whole = compared(texts, task, range(20))
    monkeypatch.setattr(token_products, "_AT_ONCE", 3)
    np.testing.assert_array_equal(compared(texts, task, range(20)), whole)


def at(degrees: float) -> np.ndarray:
    return np.array([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))])


class Angles:
    """Texts end in two angles: of the sentence's vector, and of its one token's."""

    id = "angles"
    languages: frozenset[str] | None = None

    def encode(self, texts):
        return [self._encoded(*map(float, text.split()[-2:])) for text in texts]

    def _encoded(self, sentence, token):
        tokens = (at(token) * 127).round().astype(np.int8)[None]
        return Encoded(at(sentence).astype(np.float32), np.array([0]), tokens)


class NameAtRightAngle(Angles):
    """A name alone is as far from every task as can be."""

    def encode(self, texts):
        return super().encode([text if text[-1].isdigit() else "90 90" for text in texts])


@given(
    st.lists(
        st.lists(st.integers(0, 90), unique=True, min_size=1, max_size=6), min_size=1, max_size=4
    ),
    st.randoms(use_true_random=False),
)
def test_the_samples_nearest_to_the_task_are_compared(angles, random):
    """What covers the task's token best stands in any of the samples, however far away."""
    covering = [{angle: random.randint(0, 90) for angle in own} for own in angles]
    agents = [
        make_agent(f"a{i}", "90 90", *(f"{angle} {token}" for angle, token in own.items()))
        for i, own in enumerate(covering)
    ]
    index = Index(agents, Angles())
    maxsim, reverse = index.late(index.read("0 0"), np.arange(len(agents)))
    nearest = [[own[angle] for angle in sorted(own)[:3]] for own in covering]
    expected = [max(np.cos(np.radians([90, *own]))) for own in nearest]
    np.testing.assert_allclose([maxsim, reverse], [expected, expected], atol=0.02)
