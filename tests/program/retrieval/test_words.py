"""The words that BM25 reads and its scores are those of bm25s."""

import json

import bm25s
import Stemmer
from hypothesis import given
from hypothesis import strategies as st
from small import ROOT

from task_delegator.retrieval.lexical import StemmedWords, postings_sum


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


@given(
    st.lists(st.lists(st.sampled_from("abcdef"), min_size=1), min_size=1, max_size=6),
    st.lists(st.sampled_from("abcdef")),
)
def test_the_sum_over_a_task_s_words_is_that_of_bm25s(documents, task):
    ranker = bm25s.BM25()
    ranker.index(documents, show_progress=False)
    places = [ranker.vocab_dict[word] for word in task if word in ranker.vocab_dict]
    theirs = ranker.get_scores_from_ids(places)
    assert postings_sum(ranker.scores, places).tolist() == theirs.tolist()
