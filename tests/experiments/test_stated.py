"""The ECE of studies and its range are those of evaluation, out of scope included."""

import pytest
from small import ROOT, small_dataset

from experiments.studies import confidence, scope
from optimize.data import load_dataset
from optimize.evaluation import delegate_all, delegate_texts, evaluate

STUDIES = sorted((ROOT / "experiments" / "studies").glob("*.py"))


@pytest.fixture(scope="module")
def office(tmp_path_factory):
    return load_dataset(small_dataset(tmp_path_factory.mktemp("stated")))


@pytest.fixture(scope="module")
def program(office):
    return scope._calibrated(office, "labels")


@pytest.fixture(scope="module")
def report(program, office):
    return evaluate(program, office, "test", name="labels")


@pytest.mark.slow
def test_the_study_of_scope_judges_a_confidence_as_evaluation_does(office, report):
    rows = scope._confidence("ours", office, "test")
    [row] = [row for row in rows if row["by"] == "labels"]
    assert row["ece"] == pytest.approx(report.ece, abs=1e-6)
    assert row["ece_calibrated_range"] == pytest.approx(report.ece_calibrated_range, abs=1e-6)


@pytest.mark.slow
def test_the_study_of_confidence_judges_one_as_evaluation_does(office, program, report):
    outcomes = delegate_all(program, office.splits["test"], "test")
    outside = delegate_texts(program, office.out_of_scope["test"], "out of scope")
    rows = confidence._without_lm(outcomes, outside, program.knobs.values, "test", "all")
    [row] = [row for row in rows if row["sign"] == "calibrated confidence"]
    assert row["n"] == len(outcomes)
    assert row["ece"] == pytest.approx(report.ece, abs=1e-6)
    assert row["ece_calibrated_range"] == pytest.approx(report.ece_calibrated_range, abs=1e-6)


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_no_study_has_an_error_of_calibration_of_its_own(path):
    text = path.read_text(encoding="utf-8")
    assert "calibrated_ece_range(" not in text
    assert "expected_calibration_error(" not in text
