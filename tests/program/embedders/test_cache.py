"""What is kept in the user's cache, and what is not."""

import os
import sqlite3
import stat
from contextlib import closing

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from small import HashedWords, make_agent, small_dataset
from tracking import empty_store

from optimize.data.dataset import load_dataset
from optimize.pipeline import compile as compiling
from task_delegator.embedders import base, cache
from task_delegator.embedders import cached as cached_module
from task_delegator.embedders import onnx_encoder as embed
from task_delegator.embedders.base import Encoded
from task_delegator.embedders.cache import VectorCache
from task_delegator.embedders.cached import CachedEmbedder, packed, unpacked
from task_delegator.embedders.minilm import MiniLM
from task_delegator.errors import EmbedderError
from task_delegator.registry import texts_of
from task_delegator.retrieval.index_cache import IndexCache
from task_delegator.system.files import cache_folder
from task_delegator.text import without_negated

pytestmark = pytest.mark.slow  # files that are written, damaged and made anew


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return cache_folder()


@pytest.fixture
def counted(monkeypatch):
    """Every text that the model is asked about."""
    asked = []
    encode = MiniLM.encode
    monkeypatch.setattr(
        MiniLM, "encode", lambda self, texts: asked.extend(texts) or encode(self, texts)
    )
    return asked


def same(one: Encoded, other: Encoded) -> bool:
    return all(
        np.array_equal(getattr(one, name), getattr(other, name))
        and getattr(one, name).dtype == getattr(other, name).dtype
        for name in ("vector", "token_ids", "token_vectors")
    )


def cached() -> CachedEmbedder:
    return CachedEmbedder(MiniLM(), VectorCache("e.sqlite"))


def test_an_index_is_not_embedded_twice(counted):
    texts = ["refund a customer", "write release notes", "", "refund a customer"]
    first = cached().encode_documents(texts)
    assert len(counted) == 3
    again = cached().encode_documents([*texts, "a new agent"])
    assert counted[3:] == ["a new agent"]
    assert all(map(same, first, again))
    assert all(map(same, MiniLM().encode(texts), again))


def test_a_registry_with_one_new_text_encodes_that_text_and_keeps_it(counted, office):
    IndexCache(office, cached()).index({})
    before = len(counted)
    office.add(make_agent("Audit", "checks the books"))
    for _ in range(2):
        IndexCache(office, cached()).index({})
        assert counted[before:] == ["Audit. checks the books"]


def test_a_task_is_not_kept_and_no_text_is(folder, counted):
    cached().encode(["my salary was not paid"])
    cached().encode(["my salary was not paid", "nor my bonus"])
    assert not folder.exists()
    cached().encode_documents(["pay salaries"])
    file = folder / "e.sqlite"
    assert b"salaries" not in file.read_bytes()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_another_model_runtime_or_processor_shares_nothing(counted, monkeypatch):
    cached().encode_documents(["one", "two"])
    for name, value in (
        ("version", lambda package: "0.0"),
        ("processor_kind", lambda: "no VNNI"),
    ):
        monkeypatch.setattr(embed, name, value)
        counted.clear()
        cached().encode_documents(["one", "two"])
        assert sorted(counted) == ["one", "two"]
    monkeypatch.setattr(MiniLM, "id", "minilm:another")
    cached().encode_documents(["one"])
    assert len(counted) == 3


def test_a_processor_is_what_it_can_do(tmp_path, monkeypatch):
    def kind(text):
        (tmp_path / "cpuinfo").write_text(text)
        monkeypatch.setattr(base, "Path", lambda path: tmp_path / "cpuinfo")
        embed.processor_kind.cache_clear()
        return embed.processor_kind()

    one = kind("processor : 0\ncpu MHz : 2596\nflags : fpu avx2 avx_vnni\n")
    assert kind("processor : 0\ncpu MHz : 3100\nflags : avx_vnni fpu avx2\n") == one
    assert kind("processor : 0\ncpu MHz : 2596\nflags : fpu avx2\n") != one
    embed.processor_kind.cache_clear()


class Counting:
    """An embedder that can say what its encodings depend on, or not; counts what it is asked."""

    id = "counting"
    languages: frozenset[str] | None = None

    def __init__(self, runtime: str | None = "1", fails_at: str | None = None) -> None:
        self.runtime, self.asked, self._fails_at = runtime, [], fails_at
        self.dimensions = None

    def token_ids(self, texts):
        return [encoding.token_ids for encoding in HashedWords().encode(texts)]

    def encode(self, texts):
        self.asked += texts
        if self._fails_at in texts:
            raise EmbedderError("too many requests")
        return HashedWords().encode(texts)


def test_every_embedder_is_cached_and_what_came_before_a_failure_is_kept(monkeypatch):
    monkeypatch.setattr(cached_module, "_CHUNK", 2)
    with pytest.raises(EmbedderError):
        CachedEmbedder(Counting(fails_at="c"), VectorCache("e.sqlite")).encode_documents([*"abcde"])
    inner = Counting()
    found = CachedEmbedder(inner, VectorCache("e.sqlite")).encode_documents([*"abcde"])
    assert inner.asked == [*"cde"]
    assert all(map(same, found, HashedWords().encode([*"abcde"])))


def test_an_embedder_that_cannot_tell_what_it_depends_on_is_not_cached(folder):
    inner = Counting(runtime=None)
    for _ in range(2):
        CachedEmbedder(inner, VectorCache("e.sqlite")).encode_documents(["a"])
    assert inner.asked == ["a", "a"]
    assert not folder.exists()


@pytest.mark.slow
def test_a_compilation_encodes_a_request_once_until_it_measures(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", empty_store(tmp_path))
    dataset = load_dataset(small_dataset(tmp_path / "data"))
    inner = Counting()
    program = CachedEmbedder(inner, VectorCache("e.sqlite"))
    monkeypatch.setattr(compiling, "embedder", lambda _: program)
    texts = [without_negated(request.text) for request in dataset.splits["validation"]]

    class StopHereError(Exception):
        pass

    def stopped(*_):
        assert {text: inner.asked.count(text) for text in texts} == dict.fromkeys(texts, 1)
        program.encode(texts[:1])
        assert inner.asked.count(texts[0]) == 2
        raise StopHereError

    monkeypatch.setattr(compiling, "_evaluate", stopped)
    with pytest.raises(StopHereError):
        compiling.compile_program(dataset, compiling.Options(tmp_path / "out", trials=2), None)


def test_what_is_damaged_is_encoded_again(folder, counted):
    cached().encode_documents(["one", "two"])
    with sqlite3.connect(folder / "e.sqlite") as store:
        store.execute("UPDATE kept SET value = substr(value, 1, 100) WHERE rowid = 1")
    store.close()
    found = cached().encode_documents(["one", "two"])
    assert len(counted) == 3
    assert all(map(same, found, MiniLM().encode(["one", "two"])))


def test_twenty_thousand_rows_are_read_in_batches(folder):
    kept = VectorCache("e.sqlite")
    values = {number.to_bytes(4): b"value %d" % number for number in range(20_000)}
    kept.write(values)
    statements = []
    real = sqlite3.connect

    def connect(*arguments, **settings):
        store = real(*arguments, **settings)
        store.set_trace_callback(statements.append)
        return store

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sqlite3, "connect", connect)
        assert kept.read([*values, b"missing", b""]) == values
    assert len(statements) == 41
    assert kept.read([]) == {}


@pytest.mark.fault("two writers", "the cache of vectors", holds="One warning; tasks are answered.")
def test_a_file_that_another_holds_is_said_once_and_costs_time_alone(folder, monkeypatch, caplog):
    cached().encode_documents(["one"])
    monkeypatch.setattr(cache, "_WAIT", 0.01)
    with closing(sqlite3.connect(folder / "e.sqlite")) as other:
        other.execute("BEGIN EXCLUSIVE")
        locked = cached()
        assert len(locked.encode_documents(["one", "two"])) == 2
        assert len(locked.encode_documents(["one"])) == 1
    assert caplog.text.count("not used, which is slower: database is locked") == 1


def lines_of(caplog):
    return [r.getMessage() for r in caplog.records if r.name == "task_delegator.embedders.cache"]


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda path: path.write_bytes(b"no database" * 99), "file is not a database"),
        (lambda path: path.write_bytes(path.read_bytes()[:5000]), "disk image is malformed"),
        (lambda path: other_table(path), "no such table: kept"),
    ],
    ids=["garbage", "truncated", "another database"],
)
@pytest.mark.fault("damaged cache", "the cache of vectors", holds="Made anew, with a warning.")
def test_a_damaged_file_is_said_once_and_made_anew(folder, caplog, counted, damage, said):
    texts = [f"text {number}" for number in range(9)]
    cached().encode_documents(texts)
    damage(folder / "e.sqlite")
    counted.clear()
    model = cached()
    assert all(map(same, model.encode_documents(texts), MiniLM().encode(texts)))
    assert len(counted) == 18
    assert len(lines_of(caplog)) == 1
    assert f"{folder / 'e.sqlite'}: made anew: " in lines_of(caplog)[0]
    assert said in lines_of(caplog)[0]
    counted.clear()
    cached().encode_documents(texts)
    assert counted == []
    assert [path.name for path in folder.iterdir()] == ["e.sqlite"]


def other_table(path):
    path.unlink()
    with closing(sqlite3.connect(path)) as store, store:
        store.execute("CREATE TABLE other (x)")


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir], ids=["FIFO", "folder"])
@pytest.mark.fault("no regular file", "the cache of vectors", holds="One warning; nothing waits.")
def test_what_is_no_file_does_not_hang_and_is_left_alone(folder, caplog, make):
    folder.mkdir()
    make(folder / "e.sqlite")
    model = cached()
    for _ in range(2):
        assert len(model.encode_documents(["one", "two"])) == 2
    assert lines_of(caplog) == [
        f"cache e.sqlite: not used, which is slower: {folder / 'e.sqlite'} is no file"
    ]


def test_a_file_without_a_table_yet_is_empty(folder, caplog):
    folder.mkdir()
    (folder / "e.sqlite").touch()
    assert VectorCache("e.sqlite").read([b"key"]) == {}
    assert lines_of(caplog) == []


@pytest.mark.parametrize("changed", [1, 3], ids=["one", "all"])
def test_entries_of_other_dimensions_are_made_again(folder, counted, changed):
    texts = ["one", "two", "three"]
    cached().encode_documents(texts)
    with closing(sqlite3.connect(folder / "e.sqlite")) as store, store:
        keys = [key for (key,) in store.execute("SELECT key FROM kept ORDER BY rowid")]
        wrong = packed(Encoded(np.zeros(5, np.float32), np.zeros(0), np.zeros((0, 5), np.int8)))
        store.executemany(
            "UPDATE kept SET value = ? WHERE key = ?", [(wrong, key) for key in keys[:changed]]
        )
    counted.clear()
    found = cached().encode_documents(texts)
    assert sorted(counted) == sorted(texts[:changed])
    assert all(map(same, found, MiniLM().encode(texts)))


def test_a_model_that_changes_its_dimensions_is_asked_again():
    class Longer(Counting):
        def encode(self, texts):
            self.asked += texts
            return [
                Encoded(np.ones(65, np.float32), e.token_ids, np.ones((len(e.token_ids), 65)))
                for e in HashedWords().encode(texts)
            ]

    CachedEmbedder(Counting(), VectorCache("e.sqlite")).encode_documents([*"abc"])
    inner = Longer()
    found = CachedEmbedder(inner, VectorCache("e.sqlite")).encode_documents([*"abcd"])
    assert inner.asked == [*"dabc"]
    assert {len(encoding.vector) for encoding in found} == {65}


@pytest.mark.parametrize("mask", [0o022, 0])
def test_only_the_user_may_enter_the_folder_and_read_the_files(folder, mask):
    before = os.umask(mask)
    try:
        cached().encode_documents(["one"])
    finally:
        os.umask(before)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "e.sqlite").stat().st_mode) == 0o600
    folder.chmod(0o755)
    (folder / "e.sqlite").chmod(0o644)
    cached().encode_documents(["two"])
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "e.sqlite").stat().st_mode) == 0o600


def test_neither_texts_nor_their_tokens_are_kept(folder, office):
    IndexCache(office, cached()).index({})
    content = (folder / "e.sqlite").read_bytes()
    spelled = [text for agent in office for text in texts_of(agent)]
    for text, ids in zip(spelled, MiniLM().token_ids(spelled), strict=True):
        assert text.encode() not in content
        assert all(ids.astype(kind).tobytes() not in content for kind in (np.int32, np.int64))


def test_the_file_of_an_older_version_is_deleted(folder):
    folder.mkdir()
    for name in ("old.sqlite", "old.sqlite-journal", "other.sqlite"):
        (folder / name).write_bytes(b"token ids")
    VectorCache("new.sqlite", replaces="old.sqlite").read([b"key"])
    assert [path.name for path in folder.iterdir()] == ["other.sqlite"]


@pytest.mark.fault(
    "unwritable place", "the cache of vectors", holds="A warning; tasks are answered."
)
def test_a_folder_that_cannot_be_written_costs_time_alone(tmp_path, monkeypatch, caplog):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert len(cached().encode_documents(["one", "two"])) == 2
    assert "not used, which is slower" in caplog.text


def test_the_older_half_goes_when_the_limit_is_passed():
    kept = VectorCache("e.sqlite", limit=100_000)
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
    vector, vectors = data.draw(floats), data.draw(arrays.arrays(np.int8, (tokens, dim)))
    found = unpacked({b"k": packed(Encoded(vector, np.zeros(tokens), vectors))})[b"k"]
    for before, after in zip((vector, vectors), found, strict=True):
        assert np.array_equal(before, after)
        assert before.dtype == after.dtype


@given(st.binary(max_size=60))
def test_bytes_of_another_kind_are_no_encoding(content):
    for vector, vectors in unpacked({b"k": content}).values():
        assert packed(Encoded(vector, np.zeros(len(vectors)), vectors)) == content
