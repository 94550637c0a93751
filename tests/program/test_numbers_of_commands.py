"""Options that are numbers: one that cannot be is refused before anything starts."""

import argparse
import re

import pytest

from task_delegator import cli


def numbers() -> list[tuple[str, str]]:
    """Return each option that is a number, with its command."""
    (commands,) = (a for a in cli.parser()._actions if isinstance(a, argparse._SubParsersAction))
    return [
        (name, action.option_strings[0])
        for name, command in commands.choices.items()
        for action in command._actions
        if action.type is not None and action.option_strings
    ]


def test_the_options_that_are_numbers_are_found():
    assert {("serve", "--port"), ("batch", "--workers"), ("delegate", "--top")} <= set(numbers())


@pytest.mark.fault("number out of range", "options of the commands", holds="One line, exit code 2.")
@pytest.mark.parametrize("text", ["-1", "nan", "inf", "-1e99", "9" * 5_000, "\0"])
@pytest.mark.parametrize(("command", "option"), numbers())
def test_a_number_that_cannot_be_is_refused_in_one_line(capsys, command, option, text):
    with pytest.raises(SystemExit) as ended:
        cli.parser().parse_args([command, option, text])
    assert ended.value.code == 2
    *_, line = capsys.readouterr().err.splitlines()
    assert f"argument {option}" in line


@pytest.mark.parametrize(
    ("interval", "inside", "outside"),
    [("(0, 1]", "1", "0"), ("[0, 1)", "0", "1"), ("[0, 1]", "0", "1.1"), ("(0, 1)", "0.1", "1")],
)
def test_the_ends_of_an_interval_belong_to_it_or_not(interval, inside, outside):
    read = cli.number_in(interval)
    assert read(inside) == float(inside)
    with pytest.raises(argparse.ArgumentTypeError, match=re.escape(f"not a number in {interval}")):
        read(outside)


@pytest.mark.parametrize(
    ("bounds", "inside", "outside"),
    [((0,), "007", "-1"), ((1,), "1", "0"), ((1, 65_535), "65535", "65536"), ((0,), "5", "5.0")],
)
def test_a_whole_number_has_bounds(bounds, inside, outside):
    read = cli.whole_number(*bounds)
    assert read(inside) == int(inside)
    with pytest.raises(argparse.ArgumentTypeError, match=f"'{outside}' is no whole number"):
        read(outside)
