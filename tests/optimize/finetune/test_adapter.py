"""The adapter that ships: what it was trained on, and that it is served as it was trained."""

import re
from pathlib import Path

import pytest
from probes import served

from task_delegator.lm import server as server_module
from task_delegator.lm.specs import language_model
from task_delegator.lm.weights import (
    ADAPTER,
    MANIFEST,
    SHIPPED,
    SMOLLM2_SHA256,
    digest,
    find_weights,
)
from task_delegator.system.files import read_json

MOST_BYTES = 12e6


@pytest.fixture(scope="module")
def manifest():
    return read_json(SHIPPED / MANIFEST)


@pytest.fixture
def servers():
    """Stop the servers that a test starts."""
    before = set(server_module._servers)
    yield
    for key in set(server_module._servers) - before:
        server_module._servers.pop(key).stop()


def test_it_is_small_whole_and_of_the_packaged_lm(manifest):
    path = SHIPPED / ADAPTER
    assert path.stat().st_size <= MOST_BYTES
    assert digest(path) == manifest["sha256"]
    assert manifest["base_sha256"] == SMOLLM2_SHA256
    assert find_weights("").adapter == path
    assert find_weights("raw").adapter is None


def test_what_it_is_measured_on_was_kept_from_it(manifest):
    assert "datasets" in manifest["kept_out"]
    assert not set(manifest["train"]) & set(manifest["kept_out"])
    assert not manifest["commit"].endswith("+")


def test_its_recipe_is_the_one_that_the_makefile_runs(manifest):
    lines = Path("Makefile").read_text(encoding="utf-8").splitlines()
    settings = dict(re.split(r" [?:]= ", line) for line in lines if re.match(r"\w+ [?:]= ", line))
    fold, other, both = (
        {Path(folder).name for folder in settings[name].split()}
        for name in ("FOLD_A", "FOLD_B", "BOTH")
    )
    assert manifest["recipe"]["examples"] == int(settings["EXAMPLES"])
    assert manifest["every"] == int(settings["EVERY"])
    assert set(manifest["train"]) == fold | both
    assert set(manifest["kept_out"]) == other


@pytest.mark.slow
@pytest.mark.xdist_group("embedded LM")
def test_served_it_believes_what_it_believed_when_it_was_trained(manifest, servers):
    # Two threads wait for each other at each step where tests use both processors.
    lm = language_model("embedded", threads=1, prompt_cache=False)
    raw = language_model("embedded:raw", threads=1, prompt_cache=False)
    probes = manifest["probes"]
    assert len(probes) >= 10
    for probe in probes[:4]:  # each takes a second or more
        assert served(lm, probe) == pytest.approx(probe["belief"], abs=0.1)
    moved = [max(map(abs_difference, served(raw, p), p["belief"])) for p in probes[:2]]
    assert max(moved) > 0.1, "the adapter changes what is believed"


def abs_difference(one: float, other: float) -> float:
    return abs(one - other)
