"""What a command line returns for each kind of error."""

import pytest

from task_delegator import cli, errors
from task_delegator.errors import (
    AddressError,
    DelegatorError,
    EmbedderError,
    InputError,
    LMAnswerError,
    LMError,
    LMSpecError,
    ProgramError,
    RerankerError,
    StoreError,
)
from task_delegator.lm.specs import check_spec


@pytest.mark.parametrize("kind", [DelegatorError, InputError, ProgramError, LMSpecError])
def test_what_fails_again_is_exit_code_two(kind):
    assert kind("x").exit_code == 2


@pytest.mark.parametrize(
    "kind", [LMError, LMAnswerError, EmbedderError, RerankerError, StoreError, AddressError]
)
def test_surroundings_that_may_answer_later_are_exit_code_three(kind):
    assert kind("x").exit_code == 3


def test_the_tree_shows_every_error():
    kinds = [name for name in vars(errors) if name.endswith("Error")]
    assert len(kinds) == 10
    for name in kinds:
        assert name in str(errors.__doc__)


@pytest.mark.parametrize("spec", ["gpt", "nosuch/model", "systemone:here", "embedded:x.gguf"])
def test_a_misnamed_lm_is_an_lm_error_of_the_callers_making(spec):
    with pytest.raises(LMError) as caught:
        check_spec(spec)
    assert caught.value.exit_code == 2


def test_who_stops_a_command_sees_one_line(capsys, monkeypatch):
    def stopped(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("task_delegator.registry.Registry.load", stopped)
    assert cli.main(["lint", "--agents", "x.json"]) == 130
    assert capsys.readouterr() == ("", "task-delegator: stopped\n")
