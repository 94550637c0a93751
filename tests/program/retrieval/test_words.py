"""The words that BM25 reads are those of bm25s."""

import json

import bm25s
import Stemmer
from hypothesis import given
from hypothesis import strategies as st
from small import ROOT

from task_delegator.retrieval.lexical import StemmedWords


def by_bm25s(texts):
    stemmer = Stemmer.Stemmer("english")
    return bm25s.tokenize(
        texts, stopwords="en", stemmer=stemmer, return_ids=False, show_progress=False
    )


def test_words_equal_those_of_bm25s_on_real_texts():
    agents = json.loads((ROOT / "datasets" / "agents.json").read_text())
    rows = json.loads((ROOT / "datasets" / "ground_truth.json").read_text())
    texts = [agent["description"] for agent in agents]
    texts += [text for row in rows for text in row["user_requests"]]
    cut = StemmedWords()
    assert [cut(text) for text in texts] == by_bm25s(texts)


@given(st.lists(st.text(max_size=40), min_size=1, max_size=4))
def test_words_equal_those_of_bm25s_on_any_text(texts):
    cut = StemmedWords()
    assert [cut(text) for text in texts] == by_bm25s(texts)
