"""The words that BM25 reads and its scores are those of bm25s."""

import json
import tracemalloc
from dataclasses import replace

import bm25s
import numpy as np
import pytest
import Stemmer
from hypothesis import assume, given
from hypothesis import strategies as st
from small import ROOT, HashedWords, make_agent

from task_delegator.retrieval import Index, lexical
from task_delegator.retrieval.lexical import StemmedWords, Terms, WordScores, counted
from task_delegator.retrieval.postings import ChosenDocuments, Corpus


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


WORDS = st.sampled_from(["refund", "order", "train", "hotel", "salary", "the"])
TEXTS = st.lists(WORDS, max_size=6).map(" ".join)


def scores(documents, chosen=None):
    """Return BM25 over documents, or over some of them, by number."""
    cut, terms = StemmedWords(), Terms()
    read = [terms.numbered(cut(document)) for document in documents]
    corpus = Corpus.empty()
    for part in (read[:1], read[1:]):
        corpus = corpus.added([counted(own) for own in part], [len(own) for own in part])
    numbers = np.arange(len(documents)) if chosen is None else np.array(chosen)
    return WordScores(cut, terms, ChosenDocuments(corpus, numbers.astype(np.int32)))


@given(st.lists(TEXTS, min_size=1, max_size=6), TEXTS, st.floats(0.1, 3), st.floats(0, 1))
def test_scores_are_those_of_bm25s(documents, task, k1, b):
    cut = StemmedWords()
    words = [cut(document) for document in documents]
    assume(any(words))
    ranker = bm25s.BM25(k1=k1, b=b)
    ranker.index(words, show_progress=False)
    places = [ranker.vocab_dict[word] for word in cut(task) if word in ranker.vocab_dict]
    theirs = ranker.get_scores_from_ids(places) if places else np.zeros(len(documents))
    assert scores(documents)(task, k1, b).tolist() == theirs.tolist()


@pytest.mark.parametrize("small", [0, 512], ids=["shared", "own"])
@given(st.lists(TEXTS, min_size=1, max_size=6), TEXTS, st.data())
def test_other_documents_change_nothing(small, documents, task, data):
    chosen = data.draw(st.lists(st.sampled_from(range(len(documents))), min_size=1, unique=True))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ChosenDocuments, "_SMALL", small)
        found = scores(documents, chosen)(task, 1.5, 0.75)
    alone = scores([documents[number] for number in chosen])(task, 1.5, 0.75)
    assert found.tolist() == alone.tolist()


def test_scores_of_words_that_were_read_ahead_serve_only_what_they_were_made_by():
    agents = [make_agent("Refunds", "pays money back"), make_agent("Travel", "books a train")]
    index, other = (Index(agents, HashedWords()) for _ in range(2))
    query = index.read("money back for a train")
    known = index.lexical("train", 1.2, 0.7)
    ahead = replace(query, lexical=known)
    assert index.channels(ahead, 1.2, 0.7, 1.0).bm25 is known.bm25
    for made, k1 in ((index, 1.5), (other, 1.2)):
        found = made.channels(ahead, k1, 0.7, 1.0)
        assert (found.bm25 == made.channels(query, k1, 0.7, 1.0).bm25).all()


@pytest.mark.parametrize("small", [0, 512], ids=["shared", "own"])
@given(st.lists(TEXTS, min_size=1, max_size=6), st.lists(TEXTS, min_size=1, max_size=5), st.data())
def test_many_tasks_are_scored_as_one_by_one(small, documents, tasks, data):
    chosen = data.draw(st.lists(st.sampled_from(range(len(documents))), min_size=1, unique=True))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ChosenDocuments, "_SMALL", small)
        ours = scores(documents, chosen)
    alone = [ours(task, 1.5, 0.75).tolist() for task in tasks]
    assert ours.many(tasks, 1.5, 0.75).tolist() == alone


def test_many_long_tasks_take_no_more_memory_than_some_of_them(monkeypatch):
    rng = np.random.default_rng(0)
    vocabulary = [f"{a}{b}or" for a in "bdfgklmnprst" for b in "aeiou"]
    ours = scores([" ".join(rng.permutation(vocabulary)[:40]) for _ in range(600)])
    tasks = [" ".join(rng.choice(vocabulary, 200)) for _ in range(40)]
    alone = [ours(task, 1.5, 0.75).tolist() for task in tasks]
    monkeypatch.setattr(lexical, "_POSTINGS", 5 * 200 * 600)
    tracemalloc.start()
    try:
        found = ours.many(tasks, 1.5, 0.75)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found.tolist() == alone
    assert peak < 5 * 200 * 600 * 40  # bytes a posting
