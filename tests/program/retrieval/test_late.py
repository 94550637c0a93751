"""Late interaction is what its formula says, text by text and token by token."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from task_delegator.embedders.base import Encoded
from task_delegator.retrieval import late_of_many, token_products
from task_delegator.retrieval.int8_products import products, unsigned
from task_delegator.retrieval.late_interaction import LateInteraction
from task_delegator.retrieval.token_products import FreshProducts, KeptProducts, Tokens

DIMENSIONS = 4
_TEXTS = st.lists(st.lists(st.integers(0, 9), max_size=5), max_size=4)


def encoded(token_ids: list[int], length: int = 127) -> Encoded:
    """Return a text of some tokens; with a length of 64 all numbers of their vectors are small."""
    vectors = np.random.default_rng(0).normal(size=(10, DIMENSIONS))
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    tokens = (units * length).round().astype(np.int8)[token_ids]
    return Encoded(np.zeros(DIMENSIONS), np.array(token_ids, int), tokens)


def tokens_of(texts: list[Encoded]) -> Tokens:
    shown = [text for text in texts if len(text.token_ids)]
    numbers = np.array([token for text in shown for token in text.token_ids], dtype=np.int32)
    lengths = np.array([len(text.token_ids) for text in shown], dtype=np.int32)
    return Tokens(tuple(unsigned(text.token_vectors) for text in shown), numbers, lengths)


def held_by(agents):
    """Return late interaction over some agents, and their tokens; a token's number is its id."""
    holders = np.zeros(10, dtype=int)
    for own in agents:
        holders[list({int(token) for text in own for token in text.token_ids})] += 1
    return LateInteraction(holders, len(agents)), [tokens_of(own) for own in agents]


def compared(agents, task, rows):
    """Return *to* and *fro* of some agents."""
    late, tokens = held_by(agents)
    near = [tokens[row] for row in rows]
    return late(FreshProducts(task.token_vectors), task.token_ids, near)


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
    monkeypatch.setattr(token_products, "_AT_ONCE", 3)
    np.testing.assert_array_equal(compared(texts, task, range(20)), whole)


@given(st.lists(_TEXTS, min_size=1, max_size=4), st.lists(st.integers(0, 9), max_size=6), st.data())
def test_products_that_are_kept_are_those_of_the_task_and_of_its_parts(texts, task, data):
    agents = [tokens_of([encoded(text) for text in own]) for own in texts]
    held = [agent for agent in agents if len(agent.numbers)]
    vectors = encoded(task).token_vectors
    kept = KeptProducts(vectors)
    for _ in range(3):
        some = data.draw(st.lists(st.sampled_from(held), unique_by=id)) if held and task else []
        places = data.draw(st.lists(st.sampled_from(range(len(task))))) if task else []
        for ask, rows in ((kept, vectors), (kept.of_part(places), vectors[places])):
            if some and len(rows):
                found = np.concatenate([block.dots for block in ask(some)], axis=1)
                fresh = np.concatenate([block.dots for block in FreshProducts(rows)(some)], axis=1)
                np.testing.assert_array_equal(found, fresh)


def test_what_was_multiplied_for_the_task_is_not_multiplied_for_its_parts(monkeypatch):
    agents = [tokens_of([encoded([n, n + 1, n + 2])]) for n in range(6)]
    seen: list[int] = []

    def counted(held, task):
        arrays = list(held)
        seen.append(sum(map(len, arrays)))
        return products(arrays, task)

    monkeypatch.setattr(token_products, "products", counted)
    kept = KeptProducts(encoded([1, 2, 3, 4]).token_vectors)
    kept(agents[:4])
    kept.of_part([0, 1])(agents[2:5])
    kept.of_part([2, 3])(agents[3:5])
    assert seen == [12, 3]


_TOKENS = st.lists(st.integers(0, 9), min_size=1, max_size=6)
_AGENTS = st.lists(st.lists(_TOKENS, min_size=1, max_size=3), min_size=2, max_size=5)


@pytest.mark.parametrize("at_once", [1, 20, 2**19])
@given(agents=_AGENTS, tasks=st.lists(_TOKENS, min_size=1, max_size=8), data=st.data())
def test_many_texts_are_compared_as_one_by_one(at_once, agents, tasks, data):
    late, tokens = held_by([[encoded(text) for text in own] for own in agents])
    texts = [(encoded(task, 64), np.array(task)) for task in tasks]
    assert all(late_of_many.fits(text) for text, _ in texts)
    some = st.lists(st.sampled_from(range(len(agents))), min_size=2, max_size=2, unique=True)
    near = np.array([data.draw(some) for _ in tasks])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(late_of_many, "_PRODUCTS", at_once)
        found = late_of_many.late_of_many(late, texts, tokens, near)
    for place, (text, numbers) in enumerate(texts):
        own = [tokens[agent] for agent in near[place]]
        alone = late(FreshProducts(text.token_vectors), numbers, own)
        np.testing.assert_allclose([one[place] for one in found], alone, rtol=0, atol=1e-12)
