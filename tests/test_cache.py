"""What is kept in the user's cache, and what is not."""

import sqlite3
import stat

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from task_delegator.cache import Kept, cache_folder
from task_delegator.embed import Encoded, MiniLM, packed, unpacked


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return cache_folder()


@pytest.fixture
def counted(monkeypatch):
    """Every text that the model is asked about."""
    asked = []
    one = MiniLM._one
    monkeypatch.setattr(MiniLM, "_one", lambda self, text: asked.append(text) or one(self, text))
    return asked


def same(one: Encoded, other: Encoded) -> bool:
    return all(
        np.array_equal(getattr(one, name), getattr(other, name))
        and getattr(one, name).dtype == getattr(other, name).dtype
        for name in ("vector", "token_ids", "token_vectors")
    )


def test_an_index_is_not_embedded_twice(counted):
    texts = ["refund a customer", "write release notes", "", "refund a customer"]
    first = MiniLM(Kept("e.sqlite")).encode(texts)
    assert len(counted) == 3
    again = MiniLM(Kept("e.sqlite")).encode([*texts, "a new agent"])
    assert counted[3:] == ["a new agent"]
    assert all(map(same, first, again))
    assert all(map(same, MiniLM().encode(texts), again))


def test_a_task_is_not_kept_and_no_text_is(folder, counted):
    MiniLM(Kept("e.sqlite")).encode(["my salary was not paid"])
    assert not folder.exists()
    MiniLM(Kept("e.sqlite")).encode(["pay salaries", "hire people"])
    file = folder / "e.sqlite"
    assert b"salaries" not in file.read_bytes()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_another_model_shares_nothing(counted, monkeypatch):
    MiniLM(Kept("e.sqlite")).encode(["one", "two"])
    monkeypatch.setattr(MiniLM, "id", "minilm:another")
    MiniLM(Kept("e.sqlite")).encode(["one", "two"])
    assert len(counted) == 4


def test_what_is_damaged_is_encoded_again(folder, counted):
    MiniLM(Kept("e.sqlite")).encode(["one", "two"])
    with sqlite3.connect(folder / "e.sqlite") as store:
        store.execute("UPDATE kept SET value = substr(value, 1, 100) WHERE rowid = 1")
    store.close()
    found = MiniLM(Kept("e.sqlite")).encode(["one", "two"])
    assert len(counted) == 3
    assert all(map(same, found, MiniLM().encode(["one", "two"])))


def test_a_file_that_is_no_cache_is_said_once_and_left_alone(folder, caplog):
    folder.mkdir()
    (folder / "e.sqlite").write_bytes(b"something else, and longer than a header" * 9)
    before = (folder / "e.sqlite").read_bytes()
    model = MiniLM(Kept("e.sqlite"))
    for _ in range(2):
        assert len(model.encode(["one", "two"])) == 2
    assert (folder / "e.sqlite").read_bytes() == before
    told = [r.getMessage() for r in caplog.records if r.name == "task_delegator.cache"]
    assert told == ["cache e.sqlite: not used, which is slower: file is not a database"]


def test_a_folder_that_cannot_be_written_costs_time_alone(tmp_path, monkeypatch, caplog):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert len(MiniLM(Kept("e.sqlite")).encode(["one", "two"])) == 2
    assert "not used, which is slower" in caplog.text


def test_the_older_half_goes_when_the_limit_is_passed():
    kept = Kept("e.sqlite", limit=100_000)
    keys = [bytes([n]) for n in range(30)]
    for key in keys:
        kept.write({key: bytes(10_000)})
    left = kept.read(keys)
    assert set(left) < set(keys)
    assert keys[-1] in left
    assert keys[0] not in left
    assert 3 <= len(left) <= 10


@given(st.data())
def test_packed_encodings_come_back(data):
    tokens, dim = data.draw(st.integers(0, 5)), data.draw(st.integers(1, 5))
    floats = arrays.arrays(np.float32, dim, elements=st.floats(-1, 1, width=32))
    encoding = Encoded(
        data.draw(floats),
        data.draw(arrays.arrays(np.int32, tokens)),
        data.draw(arrays.arrays(np.int8, (tokens, dim))),
    )
    assert same(unpacked({b"k": packed(encoding)})[b"k"], encoding)


@given(st.binary(max_size=60))
def test_bytes_of_another_kind_are_no_encoding(content):
    for encoding in unpacked({b"k": content}).values():
        assert packed(encoding) == content
