"""The head over the embeddings: scikit-learn's regression without scikit-learn, fitted once."""

from functools import partial

import numpy as np
import pytest
from scipy import optimize
from sklearn.linear_model import LogisticRegression
from small import public
from threadpoolctl import threadpool_info, threadpool_limits

from optimize.data.dataset import load_dataset
from task_delegator.delegator import Delegator
from task_delegator.embedders.cache import VectorCache
from task_delegator.retrieval import linear_head as head
from task_delegator.retrieval.linear_head import (
    SOFTMAX_AGENTS,
    ShrinkageLDA,
    SoftmaxRegression,
    fit_head,
)


def points(classes: int, each: int = 8, dim: int = 24, precision: type = np.float64):
    """Return unit rows around one center per class, and their classes."""
    rng = np.random.default_rng(classes)
    owners = np.repeat(np.arange(classes), each)
    rows = rng.normal(size=(classes, dim))[owners] + 0.8 * rng.normal(size=(len(owners), dim))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows.astype(precision), owners


@pytest.mark.parametrize("classes", [3, SOFTMAX_AGENTS + 1])
def test_a_fit_runs_on_one_thread_and_leaves_others_as_they_were(classes, monkeypatch):
    seen = set()
    unit, regression = head._unit, optimize.minimize

    def threads() -> set[int]:
        return {one["num_threads"] for one in threadpool_info() if one["user_api"] == "blas"}

    def look(call):
        def looked(*given, **options):
            seen.update(threads())
            return call(*given, **options)

        return looked

    watched = (optimize, "minimize", regression) if classes == 3 else (head, "_unit", unit)
    monkeypatch.setattr(*watched[:2], look(watched[2]))
    with threadpool_limits(2, user_api="blas"):
        fit_head(*points(classes, each=2), 1.0)
        assert (seen, threads()) == ({1}, {2})


@pytest.mark.parametrize("classes", [2, 3, 40])
@pytest.mark.parametrize("c", [0.3, 3.0, 30.0])
@pytest.mark.parametrize(("precision", "close"), [(np.float64, 1e-8), (np.float32, 1e-3)])
def test_softmax_regression_is_that_of_scikit_learn(classes, c, precision, close):
    vectors, owners = points(classes, precision=precision)
    theirs = LogisticRegression(C=c, max_iter=2000, tol=1e-4).fit(vectors, owners)
    expected = vectors @ theirs.coef_.T + theirs.intercept_
    if classes == 2:  # one row: the difference of both
        expected = np.hstack([-expected, expected]) / 2
    ours = SoftmaxRegression(vectors, owners, c)
    got = np.stack([ours(vector) for vector in vectors])
    own = expected[np.arange(len(owners)), owners].mean()  # the unit of ours
    np.testing.assert_allclose(got * own, expected, atol=close if classes > 2 else 1e-3)


@pytest.mark.parametrize("classes", [3, 40])
@pytest.mark.parametrize("head_of", [partial(SoftmaxRegression, c=3.0), ShrinkageLDA])
def test_texts_give_their_own_agents_a_logit_of_one_on_average(classes, head_of):
    vectors, owners = points(classes)
    logits = head_of(vectors, owners)(vectors.T)
    assert logits[owners, np.arange(len(owners))].mean() == pytest.approx(1, abs=1e-5)


@pytest.fixture
def fits(monkeypatch, tmp_path):
    """Count the fits; what is kept is kept in a folder of the test."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    counted = []
    fit = head._fit_softmax
    monkeypatch.setattr(head, "_fit_softmax", lambda *given: counted.append(given) or fit(*given))
    return counted


def test_a_head_is_fitted_once_for_all_processes(fits):
    vectors, owners = points(3)
    first = fit_head(vectors, owners, 1.0, VectorCache("heads.sqlite"))
    again = fit_head(vectors, owners, 1.0, VectorCache("heads.sqlite"))
    assert len(fits) == 1
    assert (first(vectors[0]) == again(vectors[0])).all()


def test_a_head_of_other_vectors_owners_or_c_is_fitted_anew(fits):
    vectors, owners = points(3)
    kept = VectorCache("heads.sqlite")
    fit_head(vectors, owners, 1.0, kept)
    fit_head(vectors, owners, 2.0, kept)
    fit_head(vectors, owners[::-1], 1.0, kept)
    fit_head(-vectors, owners, 1.0, kept)
    assert len(fits) == 4


def test_a_damaged_head_is_fitted_anew(fits, monkeypatch):
    vectors, owners = points(3)
    kept = VectorCache("heads.sqlite")
    whole = fit_head(vectors, owners, 1.0, kept)(vectors[0])
    monkeypatch.setattr(kept, "read", lambda keys: dict.fromkeys(keys, b"too short"))
    assert (fit_head(vectors, owners, 1.0, kept)(vectors[0]) == whole).all()
    assert len(fits) == 2


@pytest.mark.slow
def test_the_head_of_four_thousand_agents_is_fitted_in_closed_form():
    """Softmax regression would take minutes there; its regularization changes nothing."""
    registry = load_dataset(public("seal_tools")).registry
    assert len(registry) > SOFTMAX_AGENTS
    program = Delegator(registry)
    found = []
    for regularization in (0.1, 100.0):
        program.knobs.set({"retrieval.head_c": regularization})
        found.append(program("convert a currency").top3)
    assert found[0] == found[1]
    assert len(found[0]) == 3


def test_an_analysis_that_holds_no_means_gives_the_same_logits():
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(60, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    owners = np.repeat(np.arange(20), 3)
    means = np.stack([vectors[owners == owner].mean(axis=0) for owner in range(20)])
    held = head.ShrinkageLDA(vectors, owners)
    light = head.ShrinkageLDA(vectors, owners, lambda products: means @ products)
    for tasks in (vectors[0], vectors[:5].T):
        np.testing.assert_allclose(light(tasks), held(tasks), rtol=1e-4, atol=1e-4)
    assert light.nbytes < held.nbytes + 8 * 8 * 8
