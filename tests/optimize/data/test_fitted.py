"""Which requests a program was fitted on: told by digests, whatever file they stand in."""

import json
import logging
from dataclasses import replace

import pytest
from small import small_dataset

from optimize.data import count_fitted, load_dataset, warn_of_fitted
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


def test_a_program_that_continues_another_was_fitted_on_both(dataset, half):
    rest = replace(
        half, splits={**dataset.splits, "validation": dataset.splits["validation"][1::2]}
    )
    before = provenance(dataset.without_plans())
    manifest = provenance(half, before=provenance(rest))
    every = len(dataset.splits["validation"])
    assert count_fitted(manifest, dataset, "validation") == every
    assert count_fitted(provenance(half, before=before), dataset, "train") == len(
        [*dataset.splits["train"], *dataset.out_of_scope["train"]]
    )


def test_an_older_program_is_not_forgotten_by_those_that_continue_it(dataset, tmp_path):
    other = load_dataset(small_dataset(tmp_path, agents=5))
    nowhere = {"train": (), "validation": (), "test": ()}
    other = replace(other, splits={**nowhere, "validation": other.splits["test"]})
    other = replace(other, out_of_scope=nowhere)
    older = {"dataset": {"sha256": provenance(dataset)["dataset"]["sha256"]}}
    once = provenance(other, before=older)
    for manifest in (once, provenance(other, before=once)):
        manifest = json.loads(json.dumps(manifest))
        both = len(dataset.splits["validation"]) + len(dataset.out_of_scope["validation"])
        assert count_fitted(manifest, dataset, "validation") == both
        assert count_fitted(manifest, dataset, "test") == len(other.splits["validation"])


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
