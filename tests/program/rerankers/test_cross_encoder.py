"""A fine-tuned reranker: a folder with graph, tokenizer, head and manifest, checked by SHA-256."""

import json
import os
import pickle

import numpy as np
import pytest
from rerankers import made_reranker, signed

from task_delegator.embedders import MiniLM
from task_delegator.errors import InputError
from task_delegator.rerankers import HEAD, MANIFEST, MODEL, VOCABULARY, CrossEncoder, reranker

pytestmark = pytest.mark.slow  # graphs are written and opened

TASK = "my parcel did not come"
TEXTS = ["Parcels | where is my parcel", "Payroll | my salary is late | pays staff", "Trains"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return made_reranker(tmp_path_factory.mktemp("whole") / "made")


@pytest.fixture
def folder(tmp_path):
    """Return a reranker whose files may be changed."""
    return made_reranker(tmp_path / "made")


def test_a_score_is_that_of_the_mean_token_of_a_pair(whole):
    head = json.loads((whole / HEAD).read_text())
    own = CrossEncoder(str(whole))
    pair = own._tokenizer.encode(TASK, TEXTS[0])
    assert set(pair.type_ids) == {0, 1}  # the tokenizer tells the two texts apart
    feed = {
        "input_ids": [pair.ids],
        "attention_mask": [pair.attention_mask],
        "token_type_ids": [pair.type_ids],
    }
    session = MiniLM()._session_here()
    [tokens] = session.run(None, {name: np.array(v, dtype=np.int64) for name, v in feed.items()})
    expected = tokens[0].mean(axis=0) @ np.array(head["weight"], dtype=np.float32) + head["bias"]
    assert own.score(TASK, TEXTS[:1]) == pytest.approx([expected], abs=1e-4)


def test_padding_and_neighbors_count_for_little(whole):
    own = CrossEncoder(str(whole))
    together = own.score(TASK, TEXTS)
    alone = [own.score(TASK, [text])[0] for text in TEXTS]
    assert together.dtype == np.float32
    assert together.shape == (3,)
    assert np.ptp(alone) > 1
    assert together == pytest.approx(alone, abs=0.3)
    assert own.score(TASK, []).shape == (0,)


def test_its_id_changes_with_every_file_that_scores_depend_on(whole, tmp_path):
    known = CrossEncoder(str(whole)).id
    assert known.startswith("reranker:")
    assert CrossEncoder(str(made_reranker(tmp_path / "same"))).id == known
    others = [
        made_reranker(tmp_path / "seed", seed=1),
        made_reranker(tmp_path / "bias", bias=0.6),
        made_reranker(tmp_path / "tokens", most_tokens=65),
    ]
    assert len({known, *(CrossEncoder(str(folder)).id for folder in others)}) == 4


@pytest.mark.parametrize("task", ["", "\ud800 half", "x" * 20_000, "a b " * 5_000, "\x00\n"])
def test_any_text_has_a_score(whole, task):
    own = CrossEncoder(str(whole))
    assert np.isfinite(own.score(task, [task, "Trains"])).all()


def test_a_long_task_leaves_half_of_the_tokens_to_the_agent(whole):
    own = CrossEncoder(str(whole))
    task, near, far = "word " * 10_000, "train " * 200, "parcel " * 200
    feed = own._feed(task, [near, far])
    assert feed["input_ids"].shape == (2, 64)
    assert feed["token_type_ids"].sum(axis=1).tolist() == [31, 31]


def test_it_is_taken_to_other_processes(whole, monkeypatch, tmp_path):
    monkeypatch.chdir(whole.parent)
    pickled = pickle.dumps(CrossEncoder(whole.name))
    monkeypatch.chdir(tmp_path)
    taken = pickle.loads(pickled)
    assert taken.score(TASK, TEXTS) == pytest.approx(CrossEncoder(str(whole)).score(TASK, TEXTS))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks here")
@pytest.mark.fault("fork", "a reranker", holds="The child scores with a session of its own.")
def test_a_forked_child_scores_with_a_session_of_its_own(whole):
    own = CrossEncoder(str(whole))
    expected = own.score(TASK, TEXTS).tolist()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, json.dumps(own.score(TASK, TEXTS).tolist()).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as file:
        assert json.loads(file.read()) == expected
    os.waitpid(child, 0)


@pytest.mark.parametrize("name", [MODEL, VOCABULARY, HEAD])
@pytest.mark.fault("broken edit", "a file of a reranker", holds="Refused in one line.")
def test_a_file_that_was_changed_or_is_gone_is_refused(folder, name):
    with (folder / name).open("ab") as file:
        file.write(b" ")
    with pytest.raises(InputError, match=f"{name} is not the one of the manifest"):
        CrossEncoder(str(folder))
    (folder / name).unlink()
    with pytest.raises(InputError, match=f"{name} is missing"):
        CrossEncoder(str(folder))


@pytest.mark.parametrize(
    "content",
    ["[]", "{}", "null", '{"sha256": {"model.onnx": "1"}, "most_tokens": 64}', '{"sha256": 1}'],
)
def test_a_manifest_without_digests_is_refused(folder, content):
    (folder / MANIFEST).write_text(content)
    with pytest.raises(InputError, match="names no sha256"):
        CrossEncoder(str(folder))


@pytest.mark.parametrize("digest", [1, None, [], "", "../../etc/passwd"])
def test_a_digest_that_is_none_is_refused(folder, digest):
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["sha256"][MODEL] = digest
    (folder / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(InputError, match=r"model\.onnx is not the one of the manifest"):
        CrossEncoder(str(folder))


@pytest.mark.parametrize("tokens", [None, 0, 7, 513, -1, 64.0, True, "64", 10**30])
def test_tokens_out_of_range_are_refused(folder, tokens):
    signed(folder, tokens)
    with pytest.raises(InputError, match=r"most_tokens .* must be a number from 8 to 512"):
        CrossEncoder(str(folder))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (MODEL, b""),
        (MODEL, b"no graph"),
        (VOCABULARY, b"{}"),
        (VOCABULARY, b"\xff\xfe"),
        (HEAD, b"[]"),
        (HEAD, b"{}"),
        (HEAD, b'{"weight": [1, 2], "bias": 0}'),
        (HEAD, b'{"weight": [1], "bias": 0}'),
        (HEAD, b'{"weight": "one", "bias": 0}'),
        (HEAD, b'{"weight": [[1]], "bias": {}}'),
        (HEAD, b"\xff\xfe"),
    ],
)
def test_files_that_the_manifest_names_but_are_no_reranker_are_one_line(folder, name, content):
    (folder / name).write_bytes(content)
    signed(folder)
    with pytest.raises(InputError, match=r"cannot be used: .*; make it again") as caught:
        CrossEncoder(str(folder))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("bias", ["NaN", "1e999"])
def test_a_head_without_finite_numbers_is_refused(folder, bias):
    (folder / HEAD).write_text(f'{{"weight": {[0.0] * 384}, "bias": {bias}}}')
    signed(folder)
    with pytest.raises(InputError, match="gives no number for a pair"):
        CrossEncoder(str(folder))


def test_a_spec_is_a_folder_and_opened_once(whole):
    assert reranker(str(whole)) is reranker(str(whole))
    own = CrossEncoder(str(whole))
    assert reranker(own) is own


@pytest.mark.parametrize(
    ("spec", "said"),
    [("", "is empty"), (" ", "is empty"), ("st:", r"st:: manifest\.json is missing"),
     ("nothing/here", r"manifest\.json is missing; name a folder")],
)  # fmt: skip
def test_a_spec_that_names_none_is_one_line(spec, said):
    with pytest.raises(InputError, match=said):
        reranker(spec)
