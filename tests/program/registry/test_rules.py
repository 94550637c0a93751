"""What is no agent, or no list, is told in words of whoever wrote it."""

import json
import re
from difflib import SequenceMatcher

import pytest
from hypothesis import given
from hypothesis import strategies as st

from task_delegator.errors import InputError
from task_delegator.registry import Agent, Registry, rules


@pytest.mark.parametrize("rows", [[{"name": "A"}], ["A"]])
def test_what_is_no_agent_is_refused_with_how_to_make_one(rows):
    with pytest.raises(TypeError, match=r"is no Agent: make one, as Agent\(\*\*row\)"):
        Registry(rows)


def test_a_text_in_the_place_of_permissions_is_told_in_words_of_a_file(tmp_path):
    path = tmp_path / "agents.json"
    path.write_text('[{"name": "A", "required_permissions": 5}]')
    with pytest.raises(InputError, match="required_permissions: Input should be a valid list"):
        Registry.load(path)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"kind": "robot"}, "kind: must be 'ai' or 'human'"),
        ({"name": "A" * 201}, "name: is too long: shorten it to at most 200 characters"),
        (
            {"user_request_samples": ["a"] * 1001},
            "user_request_samples: has 1001 items: leave at most 1000 items",
        ),
    ],
)
def test_a_field_that_is_wrong_is_told_with_the_remedy(tmp_path, fields, said):
    path = tmp_path / "agents.json"
    path.write_text(json.dumps([{"name": "A"} | fields]))
    with pytest.raises(InputError, match=re.escape(said)):
        Registry.load(path)


def test_a_field_is_compared_once_however_many_agents_have_it(monkeypatch):
    compared = []

    def counted(*given):
        compared.append(given)
        return SequenceMatcher(*given)

    monkeypatch.setattr(rules, "SequenceMatcher", counted)
    for number in range(50):
        Agent.model_validate({"name": str(number), "noitpircsed": 1, "owner": 2})
    assert 0 < len(compared) < 10


@given(
    st.sampled_from(sorted(Agent.model_fields)),
    st.lists(st.tuples(st.integers(0, 20), st.sampled_from("abeirst_")), max_size=6),
)
def test_what_bounds_the_comparison_of_fields_changes_no_answer(name, edits):
    field = name
    for place, letter in edits:
        field = field[:place] + letter + field[place + 1 + place % 2 :]
    spelled = field.replace("_", "").rstrip("s")
    near = {}
    for known in Agent.model_fields:
        right = known.replace("_", "").rstrip("s")
        swapped = {
            right[:i] + right[i + 1] + right[i] + right[i + 2 :] for i in range(len(right) - 1)
        }
        ratio = SequenceMatcher(None, spelled, right).ratio()
        near[known] = max(ratio, 0.85) if spelled in swapped else ratio
    said = rules.misspelled(field, Agent.model_fields)
    if field not in Agent.model_fields and near["required_permissions"] >= 0.7:
        assert said == "required_permissions"
    elif said not in (None, "required_permissions"):
        assert near[said] == max(near.values()) >= 0.85
    elif said is None:
        extended = any(field.startswith(f"{known}_") for known in near)
        assert field in near or extended or max(near.values()) < 0.85
