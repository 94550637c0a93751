"""Reranker: a MiniLM that was fine-tuned on pairs of task and agent, ``FOLDER``.

A cross-encoder (Nogueira and Cho, Passage Re-ranking with BERT, 2019): both texts pass the layers
together, so that each token of the task sees the agent's.
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..embedders import onnx_session, utf8_bytes
from ..errors import InputError
from ..system import Lock, is_file, read_json, sha256_file, sha256_text
from ..text import describe_error

MODEL, VOCABULARY, HEAD, MANIFEST = "model.onnx", "tokenizer.json", "head.json", "manifest.json"
_FILES = (MODEL, VOCABULARY, HEAD)
_MOST_TOKENS = 512  # positions of BERT
# Of the graph, and what the tokenizer calls them.
_INPUTS = {"input_ids": "ids", "attention_mask": "attention_mask", "token_type_ids": "type_ids"}
_CHARACTERS = 32  # of a token at most, blanks included; a longer text is cut before it is read


class CrossEncoder:
    """Score pairs with a folder that ``python -m optimize finetune reranker`` made.

    Args:
        folder: of the graph, whose first output is of shape (pairs, tokens, dimensions), the
            tokenizer, the weights of the last layer, and the manifest, which holds their SHA-256
            and ``most_tokens`` of a pair.

    Raises:
        InputError: a file is missing, is not the one that the manifest names, or is no reranker.
    """

    def __init__(self, folder: str) -> None:
        self._folder = Path(folder)
        manifest = _manifest(self._folder)
        for name in _FILES:
            self._check(name, manifest["sha256"][name])
        self._most_tokens: int = manifest["most_tokens"]
        self.id = f"reranker:{_digest(manifest)[:12]}"
        self._turn = Lock()
        self._sessions: dict[int, Any] = {}  # by process: a forked child has its own threads
        try:
            from tokenizers import Tokenizer

            self._tokenizer = Tokenizer.from_file(str(self._folder / VOCABULARY))
            self._tokenizer.enable_truncation(self._most_tokens)  # the longer text first
            self._tokenizer.no_padding()
            head = json.loads((self._folder / HEAD).read_text(encoding="utf-8"))
            self._weight = np.array(head["weight"], dtype=np.float32)
            self._bias = float(head["bias"])
            score = self.score("a task", ["an agent"])
        # The libraries of graph and tokenizer raise exceptions of their own, that of Python's
        # base among them.
        except Exception as error:
            raise InputError(
                f"reranker {folder}: cannot be used: {describe_error(error)}; make it again"
            ) from error
        if score.shape != (1,) or not np.isfinite(score).all():
            raise InputError(f"reranker {folder}: gives no number for a pair; make it again")

    def score(self, task: str, texts: Sequence[str]) -> np.ndarray:
        """Return the log-odds that each agent is right, float32, shape (texts,).

        All pairs pass the graph together, in two thirds of the time that one by one takes. Where
        a graph scales its activations per call, a score's last digits depend on the other texts.

        Raises:
            ValueError: the head is not of the graph's dimensions.
        """
        if not texts:
            return np.zeros(0, dtype=np.float32)
        feed = self._feed(task, texts)
        tokens = np.asarray(self._session().run(None, feed)[0])
        shown = feed["attention_mask"][..., None].astype(np.float32)
        means = (tokens * shown).sum(axis=1) / shown.sum(axis=1)
        if self._weight.shape != means.shape[1:]:
            raise ValueError(f"{HEAD} is not of the graph's {means.shape[1]} dimensions")
        # No product of BLAS: its locks do not outlive a fork.
        return ((means * self._weight).sum(axis=1) + self._bias).astype(np.float32)

    def _feed(self, task: str, texts: Sequence[str]) -> dict[str, np.ndarray]:
        """Return the inputs of the graph, int64, shape (texts, tokens of the longest pair)."""
        # Each for itself: in a batch the tokenizer starts threads, and a fork then prints warnings.
        asked = self._cut(task)
        pairs = [self._tokenizer.encode(asked, self._cut(text)) for text in texts]
        shape = len(pairs), max(len(pair.ids) for pair in pairs)
        feed = {name: np.zeros(shape, dtype=np.int64) for name in _INPUTS}
        for row, pair in enumerate(pairs):
            for name, own in _INPUTS.items():
                feed[name][row, : len(pair.ids)] = getattr(pair, own)
        return feed

    def _cut(self, text: str) -> str:
        """Return what can be read of a text, without lone surrogates, which no tokenizer takes."""
        return utf8_bytes(text[: self._most_tokens * _CHARACTERS]).decode()

    def __reduce__(self) -> "tuple[type[CrossEncoder], tuple[str]]":
        """Leave out weights and threads: another process has its own."""
        return CrossEncoder, (str(self._folder.absolute()),)

    def _session(self) -> Any:
        with self._turn:
            if os.getpid() not in self._sessions:
                self._sessions[os.getpid()] = onnx_session(self._folder / MODEL)
            return self._sessions[os.getpid()]

    def _check(self, name: str, sha256: str) -> None:
        path = self._folder / name
        if not is_file(path):
            raise InputError(f"reranker {self._folder}: {name} is missing; make it again")
        if sha256_file(path) != sha256:
            raise InputError(
                f"reranker {self._folder}: {name} is not the one of the manifest (sha256 "
                f"differs); make it again"
            )


def _manifest(folder: Path) -> dict[str, Any]:
    """Return the manifest of a reranker, its parts checked."""
    path = folder / MANIFEST
    if not is_file(path):
        raise InputError(
            f"reranker {folder}: {MANIFEST} is missing; name a folder that "
            f"python -m optimize finetune reranker made, or st:MODEL"
        )
    manifest: Any = read_json(path)
    held = manifest.get("sha256") if isinstance(manifest, dict) else None
    tokens = manifest.get("most_tokens") if isinstance(manifest, dict) else None
    if not isinstance(held, dict) or not set(_FILES) <= set(held):
        raise InputError(f"{path}: names no sha256 of {', '.join(_FILES)}; make it again")
    if type(tokens) is not int or not 8 <= tokens <= _MOST_TOKENS:
        raise InputError(
            f"{path}: most_tokens {tokens!r} must be a number from 8 to {_MOST_TOKENS}; "
            f"make it again"
        )
    return manifest


def _digest(manifest: dict[str, Any]) -> str:
    """Return a digest of all that scores depend on."""
    parts = [*(manifest["sha256"][name] for name in _FILES), manifest["most_tokens"]]
    return sha256_text(json.dumps(parts))
