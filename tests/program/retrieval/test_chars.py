"""Character n-grams are those of scikit-learn, without scikit-learn."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.feature_extraction.text import TfidfVectorizer
from small import ROOT

from task_delegator.retrieval import lexical, weighted_sums
from task_delegator.retrieval.lexical import CharacterGrams, GramCosines, counted
from task_delegator.retrieval.postings import ChosenDocuments, Corpus

TASKS = [
    "", " ", "a", "ab", "abc", "ß", "İstanbul", "日本 語 のテスト", "naïve café", "e\u0301 vs é",
    "x\u00a0y\u2003z", "tabs\tand\nlines\r\n", "refund refund REFUND", "zzzz qqqq", "👩\u200d💻 help",
    "\x1c\x1f odd \x85 spaces",
]  # fmt: skip


def cosines(documents, chosen=None):
    """Return what compares a task with documents, or with some of them, by number."""
    grams = CharacterGrams()
    read = [counted(grams.added(document)) for document in documents]
    corpus = Corpus.empty().added(read[:1], [1]).added(read[1:], [1] * (len(read) - 1))
    numbers = np.arange(len(documents)) if chosen is None else np.array(chosen)
    return GramCosines(grams, ChosenDocuments(corpus, numbers.astype(np.int32)))


def by_scikit_learn(documents, tasks):
    grams = TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), sublinear_tf=True)
    postings = grams.fit_transform(documents)
    return np.asarray((grams.transform(tasks) @ postings.T).todense())


def test_scores_equal_those_of_scikit_learn_on_real_texts():
    agents = json.loads((ROOT / "datasets" / "agents.json").read_text())
    rows = json.loads((ROOT / "datasets" / "ground_truth.json").read_text())
    tasks = [text for row in rows for text in row["user_requests"]] + TASKS
    documents = [f"{a['name']} {a['description']}" for a in agents] + TASKS
    ours = cosines(documents)
    np.testing.assert_allclose(
        np.stack([ours(task) for task in tasks]), by_scikit_learn(documents, tasks), atol=1e-12
    )


@given(st.lists(st.text(max_size=12), min_size=1, max_size=5), st.text(max_size=12))
def test_scores_equal_those_of_scikit_learn_on_any_text(documents, task):
    documents = [*documents, "something"]
    np.testing.assert_allclose(
        cosines(documents)(task), by_scikit_learn(documents, [task])[0], atol=1e-12
    )


def test_documents_without_a_single_gram_score_nothing():
    assert cosines(["", "  "])("anything").tolist() == [0.0, 0.0]


@pytest.mark.parametrize("small", [0, 512], ids=["shared", "own"])
@given(st.lists(st.text("abc ", max_size=12), min_size=1, max_size=6), st.data())
def test_other_documents_change_nothing(small, documents, data):
    chosen = data.draw(st.lists(st.sampled_from(range(len(documents))), min_size=1, unique=True))
    task = data.draw(st.text("abc ", max_size=12))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ChosenDocuments, "_SMALL", small)
        found = cosines(documents, chosen)(task)
    alone = cosines([documents[number] for number in chosen])(task)
    if small:
        assert found.tolist() == alone.tolist()
    np.testing.assert_allclose(found, alone, rtol=0, atol=1e-12)


@pytest.mark.parametrize("small", [0, 512], ids=["shared", "own"])
@pytest.mark.parametrize(("one_in", "numbers"), [(0, 100), (2, 100), (10, 100), (10, 6)])
@given(
    st.lists(st.text("abc ", max_size=12), min_size=1, max_size=6),
    st.lists(st.text("abcd ", max_size=12), min_size=1, max_size=5),
    st.data(),
)
def test_many_tasks_are_scored_as_one_by_one(small, one_in, numbers, documents, tasks, data):
    chosen = data.draw(st.lists(st.sampled_from(range(len(documents))), min_size=1, unique=True))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ChosenDocuments, "_SMALL", small)
        patch.setattr(lexical, "_FEW_TASKS", 0)
        patch.setattr(weighted_sums, "_ONE_IN", one_in)
        patch.setattr(weighted_sums, "_NUMBERS", numbers)
        ours = cosines(documents, chosen)
        alone = np.stack([ours(task) for task in tasks])
        found = ours.many(tasks)
    np.testing.assert_allclose(found, alone, rtol=0, atol=1e-12)
