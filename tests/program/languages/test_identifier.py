"""langid's model as it is kept in the user's cache: the same answers, whatever the file is."""

import json
import logging

import pytest
from small import ROOT

from task_delegator.languages import identifier as language_identifier
from task_delegator.languages.identifier import load_identifier

TASKS = [
    *("Bitte überweisen Sie dem Kunden den Betrag für Mai zurück, danke.", "ok", "", "\ud800"),
    *("Please send the money back to the customer.", "請把五月份的款項退還給客戶"),
]


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "task-delegator"


@pytest.fixture(scope="module")
def answers():
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    own = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    return {task: own.rank(task) for task in tasks()}


def tasks():
    rows = json.loads((ROOT / "datasets" / "languages.json").read_text(encoding="utf-8"))
    return [*TASKS, *(row[key] for row in rows for key in ("user_request", "source"))]


def ranked(identifier):
    return {task: identifier.rank(task) for task in tasks()}


def test_what_is_kept_answers_as_the_package_does_and_is_not_unpacked_again(
    cache, answers, monkeypatch
):
    load_identifier()
    (kept,) = cache.iterdir()
    assert kept.stat().st_mode & 0o777 == 0o600
    monkeypatch.setattr("py3langid.langid.LanguageIdentifier.from_model_file", None)
    assert ranked(load_identifier()) == answers


@pytest.mark.slow
@pytest.mark.parametrize("damage", [b"", b"\x00" * 64], ids=["empty", "overwritten"])
def test_a_damaged_file_is_made_anew(cache, answers, damage):
    load_identifier()
    (kept,) = cache.iterdir()
    whole = kept.read_bytes()
    kept.write_bytes(damage + whole[len(damage) or len(whole) :])
    assert ranked(load_identifier()) == answers
    assert [path.read_bytes() == whole for path in cache.iterdir()] == [True]


def test_the_file_of_another_release_goes(cache):
    cache.mkdir()
    (cache / "langid-1-0123-4567.npy").write_bytes(b"another")
    load_identifier()
    assert len(list(cache.iterdir())) == 1


def test_without_a_cache_the_package_is_read_each_time(tmp_path, answers, monkeypatch, caplog):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with caplog.at_level(logging.INFO, language_identifier.__name__):
        assert ranked(load_identifier()) == answers
    assert "not kept" in caplog.text
