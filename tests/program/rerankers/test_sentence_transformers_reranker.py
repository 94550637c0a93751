"""A cross-encoder as it is published, with the real library: a small BERT of random weights."""

import pickle
import sys

import numpy as np
import pytest

from task_delegator.errors import InputError
from task_delegator.rerankers import reranker
from task_delegator.rerankers.sentence_transformers import SentenceTransformersReranker

TASK = "refund my order"
TEXTS = ["refunds order please", "the weather", "order " * 400, ""]
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "refund", "my", "order", "please", "the"]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Return a function that saves a model of so many labels."""
    torch = pytest.importorskip("torch")
    library = pytest.importorskip("transformers")
    pytest.importorskip("sentence_transformers")

    def save(labels):
        place = tmp_path_factory.mktemp(f"bert{labels}")
        (place / "vocab.txt").write_text("\n".join(WORDS))
        torch.manual_seed(0)
        config = library.BertConfig(
            vocab_size=len(WORDS), hidden_size=32, intermediate_size=48, num_hidden_layers=2,
            num_attention_heads=2, max_position_embeddings=64, num_labels=labels,
        )  # fmt: skip
        library.BertForSequenceClassification(config).save_pretrained(place)
        tokenizer = library.BertTokenizer(str(place / "vocab.txt"), model_max_length=64)
        tokenizer.save_pretrained(place)
        return place

    return save


@pytest.mark.slow
def test_a_cross_encoder_scores_by_its_spec(made):
    spec = f"st:{made(1)}"
    own = reranker(spec)
    assert own.id == spec
    assert reranker(spec) is own
    found = own.score(TASK, TEXTS)
    assert isinstance(found, np.ndarray)
    assert found.dtype == np.float32
    assert found.shape == (4,)
    assert np.isfinite(found).all()
    assert len(set(found.tolist())) > 1
    assert len(np.asarray(own.score(TASK, []))) == 0
    taken = pickle.loads(pickle.dumps(own))
    assert taken.score(TASK, TEXTS) == pytest.approx(found, abs=1e-5)


@pytest.mark.slow
def test_a_model_of_several_numbers_is_refused(made):
    with pytest.raises(InputError, match="gives 3 numbers for a pair; name a cross-encoder"):
        reranker(f"st:{made(3)}")


@pytest.mark.slow
def test_a_model_that_is_none_is_one_line(made, tmp_path):
    made(1)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(InputError, match="cannot be loaded: ") as caught:
        reranker(f"st:{tmp_path}")
    assert "\n" not in str(caught.value)


def test_without_the_extra_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    monkeypatch.setattr(
        "task_delegator.rerankers.sentence_transformers.find_spec", lambda name: None
    )
    with pytest.raises(InputError, match=r"pip install 'task-delegator\[encoder\]'"):
        SentenceTransformersReranker("any")
