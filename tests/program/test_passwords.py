"""Passwords and keys in addresses are shown nowhere: errors, state, what is recorded."""

from typing import Any

import pytest

from task_delegator.artifact.store import load
from task_delegator.errors import LMError, LMSpecError, ProgramError
from task_delegator.lm.specs import check_spec, language_model

PASSWORD = "hun@ter22"


@pytest.mark.parametrize(
    "spec",
    [
        f"systemone:bob:{PASSWORD}@host:8080",
        f"systemone:ftp://bob:{PASSWORD}@host",
        f"http://bob:{PASSWORD}@host/x",
        f"nobody://bob:{PASSWORD}@host/x",
        f"://bob:{PASSWORD}@host/",
    ],
)
def test_a_spec_that_is_refused_shows_no_password(spec):
    with pytest.raises(LMSpecError) as caught:
        check_spec(spec)
    assert "ter22" not in repr(caught.value)


def test_a_decider_shows_its_address_without_the_password(monkeypatch):
    monkeypatch.setenv("TYPESAFE_API_KEY", "a-key-of-the-environment")
    lm: Any = language_model(f"systemone:http://bob:{PASSWORD}@127.0.0.1:9")
    with pytest.raises(LMError) as caught:
        lm("state", {"slot": {"type": "noul", "question": "x"}})
    for shown in (str(caught.value), repr(lm), repr(lm.dump_state())):
        assert "ter22" not in shown
        assert "a-key-of" not in shown
    assert "127.0.0.1:9" in str(caught.value)


@pytest.mark.parametrize(
    "store",
    [
        f"http://bob:{PASSWORD}@127.0.0.1:9",
        f"bob:{PASSWORD}@127.0.0.1",
        f"postgresql://127.0.0.1:9/x?user=bob&password={PASSWORD}",
    ],
)
def test_a_registry_that_cannot_be_asked_shows_no_password(store, monkeypatch, office):
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setattr("mlflow.store.db.utils.MAX_RETRY_COUNT", 1, raising=False)
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(store)
    try:
        with pytest.raises(ProgramError) as caught:
            load("models:/delegator@champion", office)
    finally:
        mlflow.set_tracking_uri(before)
    assert "ter22" not in repr(caught.value)
    assert len(str(caught.value).splitlines()) == 1
