"""Naming an agent in any spelling gains what its exact name gains."""

import json
from collections.abc import Callable

import pytest
from small import ROOT

from task_delegator import load

SPELLINGS: dict[str, Callable[[str], str]] = {
    "exact": str,
    "two blanks": lambda name: name.replace(" ", "  "),
    "line break": lambda name: name.replace(" ", "\n"),
    "plural": lambda name: f"{name}s",
    "plurals": lambda name: " ".join(f"{word}s" for word in name.split()),
    "of the": lambda name: " of the ".join(name.split(maxsplit=1)),
    "desk of the": lambda name: " of the ".join(reversed(name.rsplit(maxsplit=1))),
    "hyphen": lambda name: name.replace(" ", "-"),
    "swapped": lambda name: " ".join(reversed(name.split())),
    "swapped, lower case": lambda name: " ".join(reversed(name.lower().split())),
    "slash": lambda name: name.replace(" ", "/"),
    "comma": lambda name: name.replace(" ", ", "),
    "accents": lambda name: "".join(f"{c}\u0301" if c in "aeiou" else c for c in name),
    "underscore": lambda name: name.replace(" ", "_"),
    "joined": lambda name: name.replace(" ", ""),
    "dots": lambda name: name.replace(" ", "."),
    "dashes": lambda name: name.replace(" ", " \u2013 "),
    "bold": lambda name: f"**{name.replace(' ', '** **')}**",
    "variants": lambda name: "\ufe0f".join(name),
    "joiners": lambda name: "\u034f".join(name),
    "and": lambda name: name.replace("&", "and").upper(),
}


@pytest.mark.slow
def test_no_spelling_of_a_name_goes_to_the_named_agent():
    delegate = load("default", ROOT / "datasets" / "agents.json")
    names = sorted(agent.name for agent in delegate.registry)
    rows = json.loads((ROOT / "datasets" / "ground_truth.json").read_text(encoding="utf-8"))
    # Sixty requests, each with the name of an agent of another domain.
    asked = [
        (row["user_requests"][0], names[(names.index(row["expected_agent_name"]) + 31) % 70])
        for row in rows[:60]
    ]
    went = {}
    for spelling, spell in SPELLINGS.items():
        tasks = [f"{spell(name)}: {task} Answer: {spell(name)}." for task, name in asked]
        answers = zip(delegate.delegate_many(tasks), asked, strict=True)
        went[spelling] = sum(answer.top3[0].name == name for answer, (_, name) in answers)
    assert {spelling: n for spelling, n in went.items() if n > went["exact"] + 2} == {}
