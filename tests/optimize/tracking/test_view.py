"""``make ui`` shows the store that compilations are written to."""

import os
import sys

import pytest
from small import ROOT

from optimize.tracking import view
from optimize.tracking.store import STORE, connect

pytestmark = pytest.mark.usefixtures("no_store_left_over")


@pytest.fixture
def served(monkeypatch):
    """Take down what the process would become, with its environment."""
    found = []
    monkeypatch.setattr(sys, "argv", ["view", "5055"])
    monkeypatch.setattr(os, "execve", lambda path, command, env: found.append((command, env)))
    return found


def test_the_database_that_is_named_is_served(store, served, capsys):
    assert view.main() == 0
    ((command, env),) = served
    assert env["MLFLOW_BACKEND_STORE_URI"] == store
    assert env["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] == "false"
    assert command[1:] == [
        *("-m", "mlflow", "server"),
        *("--host", "127.0.0.1", "--port", "5055", "--workers", "1"),
    ]
    assert capsys.readouterr().out == f"http://127.0.0.1:5055{view.view_path(connect())}\n"


def test_the_local_database_is_served_where_none_is_named(store, served, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert view.main() == 0
    ((_, env),) = served
    assert env["MLFLOW_BACKEND_STORE_URI"] == f"sqlite:///{STORE.resolve()}"


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_of_a_server_the_address_alone_is_printed(scheme, served, monkeypatch, capsys):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"{scheme}://me:hunter2@host:9000/")
    monkeypatch.setattr(view, "connect", lambda tag: "7")
    assert view.main() == 0
    assert served == []
    assert capsys.readouterr().out == f"{scheme}://host:9000{view.view_path('7')}\n"


def test_a_store_that_cannot_be_used_is_one_line(served, monkeypatch, capsys):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "nosuch://host/db")
    assert view.main() == 3
    assert served == []
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_the_view_shows_how_many_requests_each_share_is_of(monkeypatch):
    monkeypatch.setattr(view, "saved_view", lambda name, key, columns, query: (key, columns))
    _, columns = view.view_tag()
    for n, share in (("test_n", "test_top1"), ("test_lm_n", "test_lm_top1")):
        assert columns.index(f"metrics.`{n}`") + 1 == columns.index(f"metrics.`{share}`")


def test_make_ui_names_no_store_of_its_own():
    recipe = (ROOT / "Makefile").read_text().split("\nui:")[1].split("\n\n")[0]
    assert "optimize.tracking.view" in recipe
    assert "sqlite" not in recipe
