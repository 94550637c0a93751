"""An encoder in ONNX: a text's tokens in, their vectors out, pooled by their mean.

Texts of the same number of tokens are read in one call. Nothing is padded, and no graph here
scales over more than a token, so that a text's vector does not depend on its neighbors, bit by
bit, nor with it on the registry's order. A graph with dynamic quantization of whole tensors would
need a call for each text.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from ..system import Lock
from .base import Encoded, encoded, processor_kind, utf8_bytes

_THREADS = 2  # within one call, and calls side by side
_TOKENS = 256  # of texts that are read in one call: with more, a token takes as long


class OnnxEncoder:
    """Encode with an ONNX graph on the CPU.

    Mean pooling over the attention mask and L2 normalization, as in Reimers and
    Gurevych, Sentence-BERT (2019).

    Args:
        weights: the graph, whose first output is of shape (1, tokens, dimensions).
        vocabulary: a ``tokenizer.json``, which puts one special token at each end.
        most_tokens: that the model takes; longer texts are cut.
        dimensions: of a vector.
        prefix: words that the model expects before every text; they count for the text's vector
            and are no tokens of it.

    Attributes:
        pools_tokens: whether a vector is the mean of its tokens': parts need no pass of their own.
    """

    pools_tokens = True

    def __init__(
        self,
        weights: Path,
        vocabulary: Path,
        most_tokens: int,
        dimensions: int,
        prefix: str = "",
    ) -> None:
        from tokenizers import Tokenizer

        self._weights = weights
        self._turn = Lock()
        # By process. Those of parents stay, as a child cannot end their threads.
        self._sessions = {os.getpid(): onnx_session(weights)}
        self._tokenizer = Tokenizer.from_file(str(vocabulary))
        self._tokenizer.enable_truncation(most_tokens)
        self._tokenizer.no_padding()
        self._dimensions = dimensions
        self._prefix = prefix
        self._first = len(self._tokenizer.encode(prefix.rstrip()).ids) - 1  # of a text's own
        self._inputs = {node.name for node in self._session_here().get_inputs()}

    @property
    def runtime(self) -> str:
        """Return the library's version and the kind of processor."""
        return f"onnxruntime {version('onnxruntime')} {processor_kind()}"

    @property
    def dimensions(self) -> int:
        """Return how many a vector has."""
        return self._dimensions

    def token_ids(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Return the word pieces of each text, int32, without special ones."""
        return [self._ids(text)[self._first : -1].astype(np.int32) for text in texts]

    def encode(self, texts: Sequence[str]) -> list[Encoded]:
        """Return one encoding per text."""
        if len(texts) == 1:  # a task waits for no other thread
            return self._together([self._ids(texts[0])])
        ids = [self._ids(text) for text in texts]
        batches = same_lengths([len(own) for own in ids])
        with ThreadPoolExecutor(_THREADS) as pool:
            read = pool.map(lambda batch: self._together([ids[i] for i in batch]), batches)
            made = dict(zip(chain(*batches), chain(*read), strict=True))
        return [made[place] for place in range(len(texts))]

    def _together(self, ids: Sequence[np.ndarray]) -> list[Encoded]:
        """Return the encodings of texts with the same number of tokens."""
        given = np.stack(ids)
        feed = {"input_ids": given, "attention_mask": np.ones_like(given)}
        if "token_type_ids" in self._inputs:
            feed["token_type_ids"] = np.zeros_like(given)
        read = np.asarray(self._session_here().run(None, feed)[0])
        own = slice(self._first, -1)
        return [
            encoded(tokens.mean(axis=0), text[own], tokens[own])
            for text, tokens in zip(ids, read, strict=True)
        ]

    def _session_here(self) -> Any:
        """Return this process's own: a forked child cannot use its parent's threads and locks."""
        with self._turn:
            if os.getpid() not in self._sessions:
                self._sessions[os.getpid()] = onnx_session(self._weights)
            return self._sessions[os.getpid()]

    def _ids(self, text: str) -> np.ndarray:
        given = self._prefix + utf8_bytes(text).decode()
        return np.array(self._tokenizer.encode(given).ids, dtype=np.int64)


def same_lengths(lengths: Sequence[int]) -> list[list[int]]:
    """Return the places of texts that are read in one call each, long ones first.

    Args:
        lengths: tokens of each text.
    """
    places: dict[int, list[int]] = {}
    for place, length in enumerate(lengths):
        places.setdefault(length, []).append(place)
    batches = []
    for length in sorted(places, reverse=True):
        own, number = places[length], max(_TOKENS // length, 1)
        batches += [own[start : start + number] for start in range(0, len(own), number)]
    return batches


def onnx_session(weights: Path) -> Any:
    """Return a session of ONNX Runtime on the CPU, for this process alone."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = _THREADS
    options.inter_op_num_threads = 1
    # Waiting threads that spin take the processor from other texts and callers.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(str(weights), options, providers=["CPUExecutionProvider"])
