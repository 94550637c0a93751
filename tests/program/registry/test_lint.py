"""What lint says of agents that are alike, and of those that say little."""

import pytest

from task_delegator.registry import Agent, Registry


def test_lint_names_agents_that_are_alike_together_and_those_that_say_nothing_at_all():
    frame = "writes unit tests that follow the conventions of a project in "
    alike = [Agent(name=n, description=frame + n) for n in ("nunit", "tunit", "xunit")]
    others = [
        Agent(name="Bare"),
        Agent(name="By tools", tools=("look up a parcel",)),
        Agent(name="By instructions", instructions="Answer questions about parcels."),
    ]
    found = {finding.rule: finding for finding in Registry([*alike, *others]).lint()}
    assert found["near-duplicate"].agents == ("nunit", "tunit", "xunit")
    assert found["near-duplicate"].detail == (
        "each shares with another 80% of the words: describe how they differ"
    )
    assert found["no-description"].agents == ("Bare", "By instructions", "By tools")
    assert found["no-description"].detail == (
        "no description: say what the agent is for; of 1 of them only the name can match a task"
    )


def test_lint_is_silent_on_a_sound_registry():
    said = {
        "Travel Desk": "Books flights, trains and hotels.",
        "IT": "Mends laptops and passwords.",
    }
    assert (
        Registry([Agent(name=name, description=text) for name, text in said.items()]).lint() == []
    )


@pytest.mark.parametrize(
    ("name", "description", "more", "thin"),
    [
        ("support", "tier 1", {}, True),
        ("docs", "posts", {}, True),
        ("Docs Agent", "docs agent", {"user_request_samples": ("where is the guide?",)}, True),
        ("support", "tier 1", {"user_request_samples": ("my app crashes",)}, False),
        ("support", "tier 1", {"instructions": "Answer questions about the app."}, False),
        ("billing", "invoices, refunds, dunning letters", {}, False),
        ("billing", "", {}, False),  # that there is none is a finding of its own
    ],
)
def test_lint_finds_descriptions_that_hardly_say_more_than_the_name(name, description, more, thin):
    found = Registry([Agent(name=name, description=description, **more)]).lint()
    assert ("thin-description" in {finding.rule for finding in found}) == thin
