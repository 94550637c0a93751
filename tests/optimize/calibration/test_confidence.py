"""Calibration sets thresholds that keep their promise, and the features that say something."""

import dspy
import numpy as np
import pytest
from small import HashedWords, small_dataset

from optimize.calibration.confidence import calibrate, choose_features, fit_confidence
from optimize.data.dataset import load_dataset
from optimize.evaluation.evaluate import evaluate
from optimize.evaluation.metrics import wilson
from task_delegator.decision.confidence import Features, sigmoid
from task_delegator.delegator import Delegator
from task_delegator.errors import InputError


def seen(**values) -> Features:
    return Features(**({"logit": 1.0, "margin": 1.0, "agreement": 0.5, "similarity": 0.5} | values))


def test_a_feature_that_says_nothing_is_left_out():
    rng = np.random.default_rng(1)
    features = [
        seen(margin=abs(float(x)), agreement=float(rng.random())) for x in rng.normal(size=400)
    ]
    right = np.array([rng.random() < sigmoid(2 * f.margin - 1) for f in features])
    chosen, losses = choose_features(features, right)
    assert chosen == ("margin",)
    assert losses["margin"][0] < losses["logit"][0]


def test_confidence_recovers_the_model_that_drew_it():
    rng = np.random.default_rng(0)
    features = [seen(logit=float(x)) for x in rng.normal(size=4000)]
    right = np.array([rng.random() < sigmoid(0.5 + 1.5 * f.logit) for f in features])
    knobs = fit_confidence(features, right, names=("logit",))
    assert knobs["confidence.correct.bias"] == pytest.approx(0.5, abs=0.25)
    assert knobs["confidence.correct.logit"] == pytest.approx(1.5, abs=0.2)


def test_confidence_without_an_error_is_the_smoothed_rate():
    knobs = fit_confidence([seen()] * 8, np.ones(8, dtype=bool))
    assert sigmoid(knobs["confidence.correct.bias"]) == pytest.approx(0.9)
    assert (knobs["confidence.correct.logit"], knobs["confidence.correct.margin"]) == (0.0, 0.0)


def test_calibration_needs_enough_requests(tmp_path):
    few = load_dataset(small_dataset(tmp_path, agents=5))
    with pytest.raises(InputError, match="15 validation requests; calibration needs at least 30"):
        calibrate(Delegator(few.registry, HashedWords()), few)


@pytest.mark.slow
def test_calibration_sets_what_decisions_need(dataset):
    program = Delegator(dataset.registry)
    calibration = calibrate(program, dataset, target_precision=0.9)
    knobs = program.knobs.values
    assert knobs.confidence.assign_threshold == calibration.promise.threshold
    assert len(calibration.scores.confidences) == len(dataset.splits["validation"])
    assert calibration.scores.n_out_of_scope == len(dataset.out_of_scope["validation"])
    assert calibration.promise.out_of_scope_share == 0.2
    assert 0 < (knobs.scope.threshold or 0.0) < 1
    report = evaluate(program, dataset, "test", name="x")
    assert report.oos_auroc is not None
    assert report.oos_auroc > 0.8
    # Requests that the threshold was not chosen on do not refute the promise.
    with dspy.context(lm=None):
        given = [(program(r.text), r) for r in dataset.splits["test"]]
    assigned = [d.agent in r.acceptable for d, r in given if d.decision == "assign"]
    assert len(assigned) > 10
    assert wilson(sum(assigned), len(assigned))[1] >= 0.9
    # What the promise counts as assigned is what is assigned, by threshold, "none" and floor.
    low = calibrate(program, dataset, target_precision=0.5)
    assert program.knobs.values.scope.even_odds_floor is not None
    with dspy.context(lm=None):
        seen_again = [program(r.text).decision for r in dataset.splits["validation"]]
    assert seen_again.count("assign") == low.promise.n < len(seen_again)
    least = calibration.promise.threshold or 1.0
    assert all(d.confidence >= least for d, _ in given if d.decision == "assign")
    stricter = calibrate(program, dataset, target_precision=0.99)
    assert (stricter.promise.threshold or 1.0) >= least
