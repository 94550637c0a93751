"""A prompt's text that somebody wrote: what does not fit is one line."""

import pytest
from small import HashedWords

from task_delegator.artifact import prompt_text
from task_delegator.artifact.prompt_text import read_prompt, set_prompts, write_prompt
from task_delegator.delegator import Delegator
from task_delegator.errors import ProgramError

URI = "prompts:/delegator.classify.select@champion"
TASK = "Say which.\n\n[[ ## demo 1 ## ]]\n\n[[ ## task ## ]] as JSON\n"


@pytest.mark.parametrize("value", ["[" * 100_000, "[" * 500 + "]" * 500, "1" * 10_000, "{", "{}x"])
def test_a_value_that_is_no_usable_json_is_one_line(office, value, monkeypatch):
    program = Delegator(office, HashedWords())
    before = program.dump_state()
    monkeypatch.setattr(prompt_text, "_downloaded", lambda _: TASK + value)
    with pytest.raises(ProgramError, match="prompts:/delegator") as caught:
        set_prompts(program, [URI])
    assert "\n" not in str(caught.value)
    assert program.dump_state() == before


def test_headings_braces_and_line_ends_in_values_come_back_as_they_were():
    demos = [
        {"task": "[[ ## demo 1 ## ]]\n\n[[ ## slot ## ]]\nB", "slot": "{A}"},
        {"task": "a\r\n[[ ## task ## ]] as JSON\n", "slot": "\n\n"},
    ]
    assert read_prompt(write_prompt("Say {which}.\n", demos)) == ("Say {which}.\n", demos)
