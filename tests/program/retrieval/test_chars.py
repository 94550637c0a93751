"""Character n-grams are those of scikit-learn, without scikit-learn."""

import json

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from sklearn.feature_extraction.text import TfidfVectorizer
from small import ROOT

from task_delegator.retrieval.lexical import CharacterGrams

TASKS = [
    "", " ", "a", "ab", "abc", "ß", "İstanbul", "日本 語 のテスト", "naïve café", "e\u0301 vs é",
    "x\u00a0y\u2003z", "tabs\tand\nlines\r\n", "refund refund REFUND", "zzzz qqqq", "👩\u200d💻 help",
    "\x1c\x1f odd \x85 spaces",
]  # fmt: skip


def by_scikit_learn(documents, tasks):
    grams = TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), sublinear_tf=True)
    postings = grams.fit_transform(documents)
    return np.asarray((grams.transform(tasks) @ postings.T).todense())


def test_scores_equal_those_of_scikit_learn_on_real_texts():
    agents = json.loads((ROOT / "datasets" / "agents.json").read_text())
    rows = json.loads((ROOT / "datasets" / "ground_truth.json").read_text())
    tasks = [text for row in rows for text in row["user_requests"]] + TASKS
    documents = [f"{a['name']} {a['description']}" for a in agents] + TASKS
    ours = CharacterGrams(documents)
    np.testing.assert_allclose(
        np.stack([ours(task) for task in tasks]), by_scikit_learn(documents, tasks), atol=1e-12
    )


@given(st.lists(st.text(max_size=12), min_size=1, max_size=5), st.text(max_size=12))
def test_scores_equal_those_of_scikit_learn_on_any_text(documents, task):
    documents = [*documents, "something"]
    np.testing.assert_allclose(
        CharacterGrams(documents)(task), by_scikit_learn(documents, [task])[0], atol=1e-12
    )


def test_documents_without_a_single_gram_score_nothing():
    assert CharacterGrams(["", "  "])("anything").tolist() == [0.0, 0.0]
