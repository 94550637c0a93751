"""Embedder: a MiniLM that was fine-tuned; the default, and ``encoder:FOLDER``."""

from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..system import is_file, read_json, sha256_file
from ..text import describe_error
from .onnx_encoder import OnnxEncoder

MODEL, VOCABULARY, MANIFEST = "model.onnx", "tokenizer.json", "manifest.json"
_MOST_TOKENS = 256  # all-MiniLM-L6-v2's own limit (max_seq_length)
_DIMENSIONS = 384


class TunedEncoder(OnnxEncoder):
    """Embed with an encoder that ``python -m optimize finetune encoder`` made.

    Args:
        folder: of the graph, the tokenizer and the manifest, which holds their SHA-256.

    Raises:
        InputError: a file is missing, is not the one that the manifest names, or is no encoder.
    """

    languages: frozenset[str] | None = frozenset({"en"})
    _remedy = "make it again"

    def __init__(self, folder: str) -> None:
        self._folder = Path(folder)
        expected = _digests(self._folder, self._remedy)
        for name, sha256 in expected.items():
            path = self._folder / name
            if not is_file(path):
                raise InputError(f"embedder encoder:{folder}: {name} is missing; {self._remedy}")
            if sha256_file(path) != sha256:
                raise InputError(
                    f"embedder encoder:{folder}: {name} is not the one of the manifest (sha256 "
                    f"differs); {self._remedy}"
                )
        self.id = f"encoder:{expected[MODEL][:12]}"
        try:
            super().__init__(
                self._folder / MODEL, self._folder / VOCABULARY, _MOST_TOKENS, _DIMENSIONS
            )
            vector = self.encode(["a task"])[0].vector
        # The libraries of graph and tokenizer raise exceptions of their own, that of Python's
        # base among them.
        except Exception as error:
            raise InputError(
                f"embedder encoder:{folder}: cannot be used: {describe_error(error)}; "
                f"{self._remedy}"
            ) from error
        if vector.shape != (_DIMENSIONS,) or not np.isfinite(vector).all():
            raise InputError(
                f"embedder encoder:{folder}: {MODEL} gives no {_DIMENSIONS} numbers a text; "
                f"{self._remedy}"
            )

    def __reduce__(self) -> "tuple[type[TunedEncoder], tuple[Any, ...]]":
        """Leave out weights and threads: another process has its own."""
        return TunedEncoder, (str(self._folder),)


class DefaultEncoder(TunedEncoder):
    """Embed with the encoder that ships: trained on many small registries (``make encoder``)."""

    _remedy = "reinstall task-delegator"

    def __init__(self) -> None:
        super().__init__(str(Path(__file__).parent / "tuned"))

    def __reduce__(self) -> "tuple[type[DefaultEncoder], tuple[()]]":
        """Leave out the folder too: another installation has its own."""
        return DefaultEncoder, ()


def _digests(folder: Path, remedy: str) -> dict[str, str]:
    """Return the SHA-256 of model and tokenizer as the manifest has them."""
    path = folder / MANIFEST
    if not is_file(path):
        raise InputError(
            f"embedder encoder:{folder}: {MANIFEST} is missing; {remedy}, or name a "
            f"folder that python -m optimize finetune encoder made"
        )
    manifest: Any = read_json(path)
    held = manifest.get("sha256") if isinstance(manifest, dict) else None
    if not isinstance(held, dict) or not {MODEL, VOCABULARY} <= set(held):
        raise InputError(f"{path}: names no sha256 of {MODEL} and {VOCABULARY}; {remedy}")
    return {name: str(held[name]) for name in (MODEL, VOCABULARY)}
