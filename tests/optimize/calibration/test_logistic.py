"""The logistic models that programs carry: as scikit-learn fits them, and served as fitted."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from small import HashedWords, small_dataset

from optimize.calibration.confidence import calibrate
from optimize.calibration.logistic import Logistic, held_out_probabilities
from optimize.data.dataset import load_dataset
from optimize.evaluation.outcomes import delegate_all
from task_delegator.calibration import fit_logistic
from task_delegator.decision.confidence import confidence_of
from task_delegator.delegator import Delegator

RNG = np.random.default_rng(0)
FEATURES = RNG.normal(size=(80, 4)) * [1.0, 50.0, 0.01, 0.0] + [0.0, 3.0, 0.0, 2.0]
LABELS = FEATURES[:, 1] + 30 * RNG.normal(size=80) > 20


@pytest.mark.parametrize("balanced", [False, True])
def test_a_model_is_that_of_the_features_divided_by_their_spread(balanced):
    spread = np.where(FEATURES.std(axis=0) > 0, FEATURES.std(axis=0), 1.0)
    weight = "balanced" if balanced else None
    slow = {"tol": 1e-12, "max_iter": 100_000}  # another solver, as far as it goes
    known = LogisticRegression(C=1.0, class_weight=weight, **slow).fit(FEATURES / spread, LABELS)
    found = Logistic.fit(FEATURES, LABELS, balanced)
    assert found.bias == pytest.approx(known.intercept_[0], abs=1e-6)
    assert found.weights == pytest.approx(tuple(known.coef_[0] / spread), rel=1e-5, abs=1e-6)
    expected = known.predict_proba(FEATURES / spread)[:, 1]
    assert found.probabilities(FEATURES) == pytest.approx(expected, abs=1e-6)
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    known_apart = cross_val_predict(
        known, FEATURES / spread, LABELS, cv=folds, method="predict_proba"
    )
    apart = held_out_probabilities(FEATURES, LABELS, folds.split(FEATURES, LABELS), balanced)
    assert apart == pytest.approx(np.asarray(known_apart)[:, 1], abs=1e-6)


@pytest.mark.parametrize("number", [0.1, 0.37, 2.3, -40.7])
def test_a_feature_that_is_equal_everywhere_takes_nothing_from_the_others(number):
    """Its standard deviation may be rounded to more than 0."""
    table = np.column_stack([FEATURES, np.full(len(FEATURES), number)])
    found, known = Logistic.fit(table, LABELS), Logistic.fit(FEATURES, LABELS)
    assert found.probabilities(table) == pytest.approx(known.probabilities(FEATURES), abs=1e-6)
    bias, weights = fit_logistic(table, LABELS)
    alone = fit_logistic(FEATURES, LABELS)
    assert bias + table @ weights == pytest.approx(alone[0] + FEATURES @ alone[1], abs=1e-3)
    assert np.abs(weights).max() < 1e4


def test_what_is_served_is_what_was_fitted(tmp_path):
    """Bit by bit: the threshold is one of the confidences that it was chosen among."""
    dataset = load_dataset(small_dataset(tmp_path))
    program = Delegator(dataset.registry, HashedWords())
    calibration = calibrate(program, dataset)
    outcomes = delegate_all(program, dataset.splits["validation"], "serve")
    served = [outcome.confidence for outcome in outcomes]
    assert served == list(calibration.scores.confidences)
    evidence = [outcome.delegation.evidence for outcome in outcomes]
    knobs = program.knobs.values
    assert served == [confidence_of(seen.signals, seen.features, knobs) for seen in evidence]
