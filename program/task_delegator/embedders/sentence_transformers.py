"""Embedder: any sentence-transformers model, local or downloaded."""

from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..system import Lock, sha256_file, sha256_text
from ..text import redact
from .base import Encoded, encoded, processor_kind


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
        self._version: str | None = None  # of the model; empty where that cannot be told
        self._turn = Lock()
        self.languages: frozenset[str] | None = None  # model cards seldom say
        try:
            self._model: Any = library.SentenceTransformer(model, device="cpu")
        except (OSError, ValueError) as error:
            raise InputError(f"embedder st:{model}: cannot be loaded: {_line(error)}") from error

    @property
    def runtime(self) -> str | None:
        """Return the libraries' versions, the model's and the kind of processor."""
        with self._turn:
            if self._version is None:
                self._version = self._read_version() or ""
        if not self._version:
            return None
        used = [f"{name} {version(name)}" for name in ("sentence-transformers", "torch")]
        return " ".join([*used, self._version, processor_kind()])

    def _read_version(self) -> str | None:
        """Return a digest of a folder's files, or the commit of a model from the hub."""
        folder = Path(self._name)
        if folder.is_dir():
            files = sorted(path for path in folder.rglob("*") if path.is_file())
            lines = [f"{path.relative_to(folder)} {sha256_file(path)}" for path in files]
            return sha256_text("\n".join(lines))
        configs = [getattr(getattr(m, "auto_model", None), "config", None) for m in self._model]
        commits = [getattr(config, "_commit_hash", None) for config in configs]
        return next((commit for commit in commits if commit), None)

    @property
    def dimensions(self) -> int | None:
        """Return what the model says of itself."""
        for name in ("get_embedding_dimension", "get_sentence_embedding_dimension"):
            if hasattr(self._model, name):  # the second is its name before version 6
                return getattr(self._model, name)()
        return None

    def token_ids(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Return those of each text, int32, without special ones."""
        if not len(texts):
            return []
        prompt = self._model.prompts.get(self._model.default_prompt_name, "")
        features = self._model.tokenize([prompt + text for text in texts])
        rows = zip(features["input_ids"], features["attention_mask"], strict=True)
        shown = (ids.numpy()[mask.numpy().astype(bool)] for ids, mask in rows)
        return [ids[1:-1].astype(np.int32) for ids in shown]

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


def _line(error: Exception) -> str:
    return redact(str(error))[:300] or type(error).__name__
