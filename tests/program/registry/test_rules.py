"""What is no agent, or no list, is told in words of whoever wrote it."""

import pytest

from task_delegator.errors import InputError
from task_delegator.registry import Registry


@pytest.mark.parametrize("rows", [[{"name": "A"}], ["A"]])
def test_what_is_no_agent_is_refused_with_how_to_make_one(rows):
    with pytest.raises(TypeError, match=r"is no Agent: make one, as Agent\(\*\*row\)"):
        Registry(rows)


def test_a_text_in_the_place_of_permissions_is_told_in_words_of_a_file(tmp_path):
    path = tmp_path / "agents.json"
    path.write_text('[{"name": "A", "required_permissions": 5}]')
    with pytest.raises(InputError, match="required_permissions: Input should be a valid list"):
        Registry.load(path)
