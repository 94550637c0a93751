"""A ModernBERT as it is published, with the real library: a small one of random weights."""

import numpy as np
import pytest

from task_delegator.embedders.cache import VectorCache
from task_delegator.embedders.cached import CachedEmbedder
from task_delegator.embedders.sentence_transformers import SentenceTransformers
from task_delegator.embedders.specs import embedder

TEXTS = ["refund my order", "refund my order please", "", "the weather " * 300]
WORDS = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "refund",
    "my",
    "order",
    "please",
    "the",
    "weather",
    "in",
    "oslo",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    torch = pytest.importorskip("torch")
    library = pytest.importorskip("transformers")
    pytest.importorskip("sentence_transformers")
    from tokenizers import Tokenizer, pre_tokenizers, processors
    from tokenizers.models import WordLevel

    place = tmp_path_factory.mktemp("modernbert")
    ids = {word: number for number, word in enumerate(WORDS)}
    tokenizer = Tokenizer(WordLevel(ids, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    ends = [("[CLS]", ids["[CLS]"]), ("[SEP]", ids["[SEP]"])]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=ends
    )
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]"}
    names |= {"sep_token": "[SEP]", "mask_token": "[MASK]"}
    torch.manual_seed(0)
    config = library.ModernBertConfig(
        vocab_size=len(WORDS), hidden_size=32, intermediate_size=48, num_hidden_layers=2,
        num_attention_heads=2, max_position_embeddings=128, pad_token_id=0, cls_token_id=2,
        sep_token_id=3, bos_token_id=2, eos_token_id=3, attn_implementation="eager",
    )  # fmt: skip
    library.ModernBertModel(config).save_pretrained(place)
    shape = library.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, model_max_length=64, **names
    )
    shape.save_pretrained(place)
    return place


@pytest.mark.slow
def test_a_modernbert_is_an_embedder_by_its_id(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    model = embedder(f"st:{folder}")
    assert isinstance(model, CachedEmbedder)
    found = model.encode(TEXTS)
    for encoding in found:
        assert encoding.vector.shape == (32,)
        assert np.linalg.norm(encoding.vector) == pytest.approx(1, abs=1e-5)
        assert encoding.token_vectors.shape == (len(encoding.token_ids), 32)
    assert [len(encoding.token_ids) for encoding in found] == [3, 4, 0, 62]
    assert found[0].token_ids.tolist() == [WORDS.index(w) for w in TEXTS[0].split()]


@pytest.mark.slow
def test_a_modernberts_encodings_are_kept(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    inner = SentenceTransformers(str(folder))
    assert inner.dimensions == 32
    first = CachedEmbedder(inner, VectorCache("e.sqlite")).encode_documents(TEXTS)
    asked = []
    monkeypatch.setattr(type(inner), "encode", lambda self, texts: asked.extend(texts) or [])
    again = CachedEmbedder(inner, VectorCache("e.sqlite")).encode_documents(TEXTS)
    assert asked == []
    for one, other in zip(first, again, strict=True):
        assert np.array_equal(one.vector, other.vector)
        assert np.array_equal(one.token_ids, other.token_ids)
