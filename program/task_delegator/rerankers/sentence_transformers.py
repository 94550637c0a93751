"""Reranker: any cross-encoder of sentence-transformers, ``st:MODEL``, local or downloaded."""

from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np

from ..errors import InputError
from ..text import redact


class SentenceTransformersReranker:
    """Score pairs with any cross-encoder by its name or path (extra ``encoder``).

    Raises:
        InputError: the extra is not installed, the model cannot be loaded, or it gives more than
            one number for a pair.
    """

    def __init__(self, model: str) -> None:
        if find_spec("sentence_transformers") is None:
            raise InputError(
                f"reranker st:{model}: not installed; run pip install 'task-delegator[encoder]'"
            )
        # Imported by name: the extra is not there where types are checked.
        library: Any = import_module("sentence_transformers")
        self.id = f"st:{model}"
        self._name = model
        try:
            self._model: Any = library.CrossEncoder(model, device="cpu")
        except (OSError, ValueError) as error:
            what = redact(str(error))[:300] or type(error).__name__
            raise InputError(f"reranker st:{model}: cannot be loaded: {what}") from error

        if (labels := self._model.config.num_labels) != 1:
            raise InputError(
                f"reranker st:{model}: gives {labels} numbers for a pair; name a cross-encoder "
                f"that gives one"
            )

    def __reduce__(self) -> "tuple[type[SentenceTransformersReranker], tuple[str]]":
        """Leave out weights: another process has its own."""
        return SentenceTransformersReranker, (self._name,)

    def score(self, task: str, texts: Sequence[str]) -> np.ndarray:
        """Return the model's scores, float32, shape (texts,)."""
        if not texts:
            return np.zeros(0, dtype=np.float32)
        pairs = [(task, text) for text in texts]
        found = self._model.predict(pairs, show_progress_bar=False, convert_to_numpy=True)
        return np.asarray(found, dtype=np.float32).reshape(len(texts))
