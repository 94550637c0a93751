"""Late interaction is what its formula says, text by text and token by token."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from task_delegator.embedders.base import Encoded
from task_delegator.retrieval import late_interaction, late_of_many
from task_delegator.retrieval.int8_products import unsigned
from task_delegator.retrieval.late_interaction import LateInteraction, Tokens

DIMENSIONS = 4
_TEXTS = st.lists(st.lists(st.integers(0, 9), max_size=5), max_size=4)


def encoded(token_ids: list[int]) -> Encoded:
    vectors = np.random.default_rng(0).normal(size=(10, DIMENSIONS))
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    tokens = (units * 127).round().astype(np.int8)[token_ids]
    return Encoded(np.zeros(DIMENSIONS), np.array(token_ids, int), tokens)


def held_by(agents):
    """Return late interaction over some agents, and their tokens; a token's number is its id."""
    holders, tokens = np.zeros(10, dtype=int), []
    for own in agents:
        holders[list({int(token) for text in own for token in text.token_ids})] += 1
        shown = [text for text in own if len(text.token_ids)]
        numbers = np.array([token for text in shown for token in text.token_ids], dtype=np.int32)
        lengths = np.array([len(text.token_ids) for text in shown], dtype=np.int32)
        vectors = tuple(unsigned(text.token_vectors) for text in shown)
        tokens.append(Tokens(vectors, numbers, lengths))
    return LateInteraction(holders, len(agents)), tokens


def compared(agents, task, rows):
    """Return *to* and *fro* of some agents."""
    late, tokens = held_by(agents)
    return late(task, task.token_ids, [tokens[row] for row in rows])


def by_hand(agents: list[list[list[int]]], task: list[int], row: int) -> tuple[float, float]:
    """Return *to* and *fro* of one agent, one cosine at a time."""
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
    to, fro = compared(held, encoded(task), rows)
    expected = np.array([by_hand(agents, task, row) for row in rows])
    np.testing.assert_allclose(np.stack([to, fro], axis=1), expected, rtol=1e-5, atol=1e-6)


def test_agents_multiplied_piece_by_piece_score_the_same(monkeypatch):
    rng = np.random.default_rng(1)
    texts = [
        [encoded(rng.integers(0, 10, rng.integers(0, 6)).tolist()) for _ in range(rng.integers(4))]
        for _ in range(20)
    ]
    task = encoded([1, 2, 3])
    whole = compared(texts, task, range(20))
    monkeypatch.setattr(late_interaction, "_AT_ONCE", 3)
    np.testing.assert_array_equal(compared(texts, task, range(20)), whole)


_TOKENS = st.lists(st.integers(0, 9), min_size=1, max_size=6)
_AGENTS = st.lists(st.lists(_TOKENS, min_size=1, max_size=3), min_size=2, max_size=5)


@pytest.mark.parametrize("products", [1, 20, 2**19])
@given(agents=_AGENTS, tasks=st.lists(_TOKENS, min_size=1, max_size=8), data=st.data())
def test_many_texts_are_compared_as_one_by_one(products, agents, tasks, data):
    late, tokens = held_by([[encoded(text) for text in own] for own in agents])
    texts = [(encoded(task), np.array(task)) for task in tasks]
    some = st.lists(st.sampled_from(range(len(agents))), min_size=2, max_size=2, unique=True)
    near = np.array([data.draw(some) for _ in tasks])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(late_of_many, "_PRODUCTS", products)
        found = late_of_many.late_of_many(late, texts, tokens, near)
    for place, (text, numbers) in enumerate(texts):
        alone = late(text, numbers, [tokens[agent] for agent in near[place]])
        np.testing.assert_allclose([one[place] for one in found], alone, rtol=0, atol=1e-12)
