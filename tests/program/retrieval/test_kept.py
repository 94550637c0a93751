"""A large registry's index is kept: the next process maps it, and nobody reads texts in it."""

import json
import stat
from time import sleep

import numpy as np
import pytest
from indexes import assert_same
from small import CountingWords, make_agent, office_registry

from task_delegator.embedders import VectorCache, clear_cache, kept_files
from task_delegator.embedders.cached import CachedEmbedder
from task_delegator.retrieval import IndexCache, heads, index_cache, kept, kept_store
from task_delegator.retrieval.store import Content


class Keepable(CountingWords):
    """Hashed words whose encodings may be kept."""

    runtime = "1"
    dimensions = 64

    def token_ids(self, texts):
        return [one.token_ids for one in CountingWords().encode(texts)]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(kept_store, "_LEAST", 3)
    return tmp_path / "task-delegator"


@pytest.fixture
def at_once(monkeypatch):
    """Keep before the first answer, not behind it."""

    class Now:
        def __init__(self, target, args, name):
            self.start = lambda: target(*args)

    monkeypatch.setattr(kept_store, "Thread", Now)


def served(registry):
    """Return a new process's index, and the texts that it read another way."""
    inner = Keepable()
    library = IndexCache(registry, CachedEmbedder(inner, VectorCache("e.sqlite")))
    index = library.index({})
    return library, index, inner.texts


def files(folder):
    return sorted(folder.glob("index-*.arrays"))


@pytest.mark.usefixtures("at_once")
def test_the_next_process_reads_no_text_and_answers_the_same(folder, office, monkeypatch):
    _, first, encoded = served(office)
    assert len(encoded) == len(first.encodings)
    (folder / "e.sqlite").unlink()
    with monkeypatch.context() as patch:
        patch.setattr(kept_store.Store, "_added", None)
        _, second, encoded = served(office)
    assert encoded == []
    assert_same(second, office, {})


@pytest.mark.usefixtures("at_once")
def test_what_was_mapped_follows_changes(folder, office):
    served(office)
    library, *_ = served(office)
    office.remove("Ada")
    office.add(make_agent("Garden", "plants trees", "water the plants", "a fair in the trees"))
    office.replace(make_agent("Travel", "books only ferries", "a ferry to Malta"))
    assert_same(library.index({}), office, {})
    assert_same(library.permitted({}, []), [a for a in office if a.permits([])], {})
    assert len(files(folder)) == 1


@pytest.mark.usefixtures("at_once")
def test_other_agents_or_another_embedder_find_nothing(folder, office, monkeypatch):
    served(office)
    monkeypatch.setattr(Keepable, "runtime", "2")
    assert served(office)[2]
    office.replace(make_agent("Travel", "books only ferries", "a ferry to Malta"))
    assert_same(served(office)[1], office, {})
    assert len(files(folder)) == 3


@pytest.mark.usefixtures("at_once")
def test_fewer_agents_than_take_long_are_not_kept(folder, office, monkeypatch):
    monkeypatch.setattr(kept_store, "_LEAST", 7)
    served(office)
    assert files(folder) == []


@pytest.mark.usefixtures("at_once")
def test_no_text_stands_in_the_file_and_only_the_user_may_read_it(folder, office):
    served(office)
    (path,) = files(folder)
    content = path.read_bytes()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for agent in office:
        said = Content.of(agent)
        for text in (*said.texts, *said.document.lower().split(), "refund", "invoic"):
            assert len(text) < 4 or text.encode() not in content
        for ids in Keepable().token_ids(said.texts):
            for kind in (np.int16, np.int32, np.int64):
                assert len(ids) < 2 or ids.astype(kind).tobytes() not in content


def damaged(content, how):
    if how == "cut off":
        return content[:-1]
    if how == "no description":
        return bytes(8) + content[8:]
    if how == "empty":
        return b""
    place = len(content) // 2
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("how", ["one bit", "cut off", "no description", "empty"])
@pytest.mark.fault("damaged cache", "the kept index", holds="Made anew, with a warning.")
def test_a_damaged_file_is_told_and_made_anew(folder, office, how, caplog):
    served(office)
    (path,) = files(folder)
    whole = path.read_bytes()
    path.write_bytes(damaged(whole, how))
    assert_same(served(office)[1], office, {})
    assert "built anew" in caplog.text
    assert path.read_bytes() == whole
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.usefixtures("at_once")
@pytest.mark.fault("unwritable place", "the kept index", holds="A warning; tasks are answered.")
def test_a_folder_that_cannot_be_written_costs_time_alone(tmp_path, monkeypatch, office, caplog):
    monkeypatch.setattr(kept_store, "_LEAST", 3)
    # A cache that could not be used once is not used again in its process.
    monkeypatch.setattr(heads, "_KEPT", VectorCache("heads.sqlite"))
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert_same(served(office)[1], office, {})
    assert "not kept" in caplog.text


@pytest.mark.usefixtures("at_once")
def test_few_files_are_kept_and_all_are_named_and_deleted(folder, monkeypatch):
    monkeypatch.setattr(kept, "_MOST_FILES", 2)
    registry = office_registry()
    for n in range(4):
        registry = office_registry()
        registry.add(make_agent("Garden", f"plants {n} trees"))
        served(registry)
    assert len(files(folder)) == 2
    assert served(registry)[2] == []  # the newest
    assert {path.name for path in files(folder)} < {file.name for file in kept_files()}
    clear_cache()
    assert files(folder) == []


@pytest.mark.usefixtures("at_once")
def test_what_a_registry_became_is_kept_once_it_changes_no_more(folder, office, monkeypatch):
    library, *_ = served(office)
    for n in range(3):
        monkeypatch.setattr(index_cache, "_QUIET", 0.01 if n == 2 else 60)
        office.replace(make_agent("Travel", f"books {n} ferries", "a ferry", "a ship"))
        office.add(make_agent(f"Garden {n}", "plants trees", "water the plants"))
        office.remove("Ada") if "Ada" in office else office.remove(f"Garden {n - 1}")
        library.index({})
    while len(files(folder)) < 2:
        sleep(0.01)
    assert len(files(folder)) == 2
    (folder / "e.sqlite").unlink()
    _, index, encoded = served(office)
    assert encoded == []
    assert_same(index, office, {})


def test_it_is_kept_behind_the_first_answer(folder, office):
    from threading import enumerate as threads

    _, first, _ = served(office)
    for thread in threads():
        if thread.name == "keep-index":
            thread.join()
    assert first.names
    assert len(files(folder)) == 1


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("how", ["another registry's", "a list", "a huge number", "a type"])
def test_a_file_that_is_whole_but_not_this_registrys_is_made_anew(folder, office, how, caplog):
    served(office)
    (path,) = files(folder)
    whole = path.read_bytes()
    if how == "another registry's":
        other = office_registry()
        other.add(make_agent("Garden", "plants trees", "water the plants"))
        served(other)
        (theirs,) = set(files(folder)) - {path}
        path.write_bytes(theirs.read_bytes())
    else:
        length = int.from_bytes(whole[:8], "little")
        said = json.loads(whole[8 : 8 + length])
        if how == "a list":
            said["arrays"] = []
        elif how == "a huge number":
            said["arrays"]["samples"][1] = [2**70]
        else:
            said["arrays"]["samples"][0] = "no type"
        path.write_bytes(
            whole[:8] + json.dumps(said).ljust(length).encode()[:length] + whole[8 + length :]
        )
    assert_same(served(office)[1], office, {})
    assert "built anew" in caplog.text
    assert path.read_bytes() == whole


@pytest.mark.usefixtures("at_once")
def test_a_file_that_others_may_write_is_not_read(folder, office, caplog):
    served(office)
    (path,) = files(folder)
    path.chmod(0o666)
    assert_same(served(office)[1], office, {})
    assert "built anew" in caplog.text
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
