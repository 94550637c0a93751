"""Tests that share something costly are given to one process."""

import pytest


@pytest.fixture(scope="module")
def costly() -> None:
    """Nothing: what counts is that it is of the module."""


def group(request: pytest.FixtureRequest) -> str:
    """Return the group by which a test was given to this process."""
    if not getattr(request.config.option, "loadgroup", False):
        pytest.skip("one process has all tests")
    return request.node.nodeid.rpartition("@")[2]


@pytest.mark.usefixtures("costly")
def test_what_shares_a_fixture_of_its_module_is_one_group(request):
    assert group(request) == "tests/test_groups.py"


@pytest.mark.xdist_group("of this name")
def test_what_is_marked_with_a_name_is_one_group(request):
    assert group(request) == "of this name"


def test_what_shares_nothing_is_no_group(request):
    assert group(request) == request.node.nodeid
