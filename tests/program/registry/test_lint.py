"""Lint finds what was meant to be read and is not."""

import pytest

from task_delegator.registry import Agent, Registry


def agent(**fields: object) -> Agent:
    return Agent.model_validate({"name": "Desk", "description": "pays money back", **fields})


@pytest.mark.parametrize(
    "field", ["samples", "examples", "sample-requests", "Use_Cases", "utterances"]
)
def test_samples_under_another_name_are_told(field):
    (finding,) = Registry([agent(**{field: ["refund me"]})]).lint()
    assert (finding.rule, finding.agents) == ("unread-field", ("Desk",))
    assert repr(field) in finding.detail
    assert "user_request_samples" in finding.detail


def test_a_description_under_another_name_is_told_where_there_is_none():
    found = Registry([agent(description="", purpose="pays money back")]).lint()
    assert [one.rule for one in found] == ["no-description", "unread-field"]
    assert Registry([agent(purpose="pays money back")]).lint() == []


def test_a_field_beside_the_right_one_and_fields_of_ones_own_are_no_mistake():
    said = agent(user_request_samples=["refund me"], examples=["x"], owner="Ann", version=3)
    assert Registry([said]).lint() == []
