"""Rerankers for tests: one that counts words, and the packaged graph as if it had been trained."""

import json
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from optimize.data import Request
from task_delegator.embedders import packaged_minilm
from task_delegator.registry import readable
from task_delegator.rerankers import HEAD, MANIFEST, MODEL, VOCABULARY
from task_delegator.system import sha256_file


class SharedWords:
    """Count the words that a task and an agent's text share; note what is read."""

    def __init__(self, name: str = "shared-words") -> None:
        self.id = name
        self.read: list[tuple[str, tuple[str, ...]]] = []

    def score(self, task: str, texts: Sequence[str]) -> np.ndarray:
        self.read.append((task, tuple(texts)))
        asked = _words(task)
        return np.array([len(asked & _words(text)) for text in texts], dtype=np.float32)


class Knowing:
    """Score the right agent higher by so much, behind noise."""

    id = "knowing"

    def __init__(
        self, requests: Iterable[Request], ahead: float, noise: float = 1.0, seed: int = 0
    ) -> None:
        self._right = {request.text: request.acceptable for request in requests}
        self._draw = np.random.default_rng(seed)
        self._ahead, self._noise = ahead, noise
        self.read = 0

    def score(self, task: str, texts: Sequence[str]) -> np.ndarray:
        self.read += 1
        own = {readable(name) for name in self._right.get(task, ())}
        right = np.array([text.split(" | ")[0] in own for text in texts])
        return self._ahead * right + self._noise * self._draw.normal(size=len(texts))


def _words(text: str) -> set[str]:
    return {word.strip(".,?!|").lower() for word in text.split()}


def made_reranker(folder: Path, most_tokens: object = 64, seed: int = 0, bias: float = 0.5) -> Path:
    """Write a reranker of the packaged MiniLM's graph and a head of random weights."""
    folder.mkdir(parents=True, exist_ok=True)
    for source, name in zip(packaged_minilm(), (MODEL, VOCABULARY), strict=True):
        shutil.copyfile(source, folder / name)
    weight = np.random.default_rng(seed).normal(size=384).tolist()
    (folder / HEAD).write_text(json.dumps({"weight": weight, "bias": bias}))
    signed(folder, most_tokens)
    return folder


def signed(folder: Path, most_tokens: object = 64) -> None:
    """Write the manifest of the files that lie there."""
    sha256 = {name: sha256_file(folder / name) for name in (MODEL, VOCABULARY, HEAD)}
    (folder / MANIFEST).write_text(json.dumps({"sha256": sha256, "most_tokens": most_tokens}))
