"""Who may call a service, and what each caller may use."""

import os

import pytest
from children import end_of, start_child

from task_delegator.cli import main
from task_delegator.service import Access, Caller, add_token, read_tokens


def test_who_calls_an_open_service_may_use_what_it_was_started_with():
    assert Access((), frozenset({"hr.pay"})).caller(None) == Caller("local", frozenset({"hr.pay"}))
    assert Access().caller(None) == Caller("local")


def test_permissions_of_a_service_with_tokens_are_those_of_the_tokens(tmp_path, capsys):
    tokens = tmp_path / "tokens.json"
    add_token(tokens, "web", ["hr.pay"])
    assert main(["serve", "--tokens", str(tokens), "--permissions", "hr.pay"]) == 2
    assert "--permissions is for callers without a token" in capsys.readouterr().err


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.fault("two writers", "`token`", holds="They take turns; no token is lost.")
def test_processes_that_make_tokens_at_once_lose_none(tmp_path):
    tokens, link = tmp_path / "new" / "tokens.json", tmp_path / "link.json"
    link.symlink_to(tokens)
    made = [(path, f"{path.stem} {number}") for path in (tokens, link) for number in range(2)]

    def make(path, name):
        for number in range(8):
            add_token(path, f"{name} {number}", None)

    children = [start_child(lambda one=one: make(*one)) for one in made]
    assert [end_of(child) for child in children] == [0] * len(made)
    assert len(read_tokens(tokens)) == 8 * len(made)
    assert [path.name for path in tokens.parent.iterdir()] == ["tokens.json"]
