"""Embedder: any sentence-transformers model, local or downloaded."""

from collections.abc import Sequence
from functools import cached_property
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..files import sha256_file, sha256_text
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


def _line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:300] if str(error).strip() else type(error).__name__
