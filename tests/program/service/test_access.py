"""Who may call a service, and what each caller may use."""

from task_delegator.cli import main
from task_delegator.service import Access, Caller, add_token


def test_who_calls_an_open_service_may_use_what_it_was_started_with():
    assert Access((), frozenset({"hr.pay"})).caller(None) == Caller("local", frozenset({"hr.pay"}))
    assert Access().caller(None) == Caller("local")


def test_permissions_of_a_service_with_tokens_are_those_of_the_tokens(tmp_path, capsys):
    tokens = tmp_path / "tokens.json"
    add_token(tokens, "web", ["hr.pay"])
    assert main(["serve", "--tokens", str(tokens), "--permissions", "hr.pay"]) == 2
    assert "--permissions is for callers without a token" in capsys.readouterr().err
