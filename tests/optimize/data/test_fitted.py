"""Which requests a program was fitted on: told by digests, whatever file they stand in."""

import json
import logging
from dataclasses import replace

import pytest

from optimize.data import count_fitted, warn_of_fitted
from optimize.pipeline.manifest import provenance


@pytest.fixture
def half(dataset):
    """The same requests but for half of validation, as of another directory."""
    kept = dataset.splits["validation"][::2]
    strangers = {**dataset.out_of_scope, "validation": ()}
    return replace(dataset, splits={**dataset.splits, "validation": kept}, out_of_scope=strangers)


def test_requests_are_told_from_those_of_another_file(dataset, half):
    manifest = json.loads(json.dumps(provenance(half)))
    assert count_fitted(manifest, dataset, "validation") == len(half.splits["validation"])
    assert count_fitted(manifest, dataset, "test") == 0
    assert not any(request.text in str(manifest) for request in half.splits["validation"])


def test_a_program_that_is_calibrated_anew_was_fitted_on_both(dataset, half):
    manifest = {"dataset": {"fitted_on": ""}, "calibrated_from": provenance(half)}
    assert count_fitted(manifest, dataset, "validation") == len(half.splits["validation"])


def test_an_older_manifest_tells_by_its_files(dataset):
    files = provenance(dataset)["dataset"]["sha256"]
    both = len(dataset.splits["validation"]) + len(dataset.out_of_scope["validation"])
    assert count_fitted({"dataset": {"sha256": files}}, dataset, "validation") == both
    assert count_fitted({"dataset": {"sha256": files}}, dataset, "test") == 0
    for broken in ({}, {"dataset": 1}, {"dataset": {"sha256": [], "fitted_on": 3}}):
        assert count_fitted(broken, dataset, "validation") == 0


def test_one_line_names_who_was_fitted_on_what_it_is_measured_on(dataset, half, caplog):
    caplog.set_level(logging.WARNING)
    held = [("a", provenance(dataset)), ("b", {})]
    warn_of_fitted(held, dataset, "test")
    assert not caplog.messages
    warn_of_fitted(held, dataset, "validation")
    [line] = caplog.messages
    assert "validation requests took part in fitting: " in line
    assert "in a; scores on these flatter" in line
