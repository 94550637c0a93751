"""Numbers as MLflow shows them: none is lost, and none is called what it is not."""

import pytest

from optimize.evaluation.evaluate import evaluate
from optimize.tracking.tables import flattened, reports_table, shortened
from task_delegator.delegator import Delegator


def test_two_statistics_are_no_interval():
    found = flattened({"oos_90": (0.7, 0.8), "top1_ci95": (0.5, 0.6), "seed": 3, "lm": None})
    assert found == {
        "oos_90_correct": 0.7, "oos_90_accepted": 0.8, "top1_ci95_low": 0.5, "top1_ci95_high": 0.6,
    }  # fmt: skip


def test_a_small_p_is_not_zero():
    found = shortened({"versus_bm25_p": 3.1415e-9, "top1": 0.123456, "p": 0.5})
    assert found == {"versus_bm25_p": 3.1e-9, "top1": 0.1235, "p": 0.5}


def test_a_report_has_its_intervals_and_comparisons(dataset):
    report = evaluate(Delegator(dataset.registry), dataset, "test", name="p")
    found = reports_table({"test": report}).iloc[0]
    low, high = report.top1_ci95
    assert (found["top1_ci95_low"], found["top1_ci95_high"]) == (low, high)
    assert found["versus_bm25_p"] == pytest.approx(report.versus_bm25["p"])
    assert found["report"] == "test"
    assert found["latency_ms_p50"] == report.latency_ms["p50"]
