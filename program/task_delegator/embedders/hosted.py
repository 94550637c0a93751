"""Embedder: a hosted model, through DSPy."""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import EmbedderError
from ..system import sha256_text
from .base import Encoded, encoded, utf8_bytes

_HOSTED_SECONDS = 60.0  # for a batch of 200 texts; LiteLLM's own limit is ten minutes
# What statuses mean, by number and by hundred: LiteLLM gives 500 where nothing answers.
_REFUSALS = {
    400: "it refuses the request; check the model's name and the length of the texts",
    401: "it refuses the key; check the provider's environment variable",
    403: "it refuses the key; check the provider's environment variable",
    404: "it has no such model",
    408: f"no answer within {_HOSTED_SECONDS:.0f} s; try again later",
    429: "too many requests, or a quota is used up; try again later",
    500: "it fails, cannot be reached, or its key is not set",
}


class HostedEmbedder:
    """Embed with a hosted model through ``dspy.Embedder``, e.g. ``openai/text-embedding-3-small``.

    Nothing is kept by DSPy, whose cache takes two servers with the same model for one.
    """

    def __init__(self, model: str) -> None:
        import dspy

        # LiteLLM would fetch a price list from the network when it is imported.
        os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
        self.id = model
        self.languages: frozenset[str] | None = None
        settings: Any = {"timeout": _HOSTED_SECONDS}  # for LiteLLM
        self._embed: Any = dspy.Embedder(model, caching=False, **settings)

    @property
    def runtime(self) -> str:
        """Return a digest of the address, where the environment names another than usual."""
        provider = self.id.partition("/")[0].upper()
        names = (f"{provider}_API_BASE", f"{provider}_BASE_URL")
        addresses = [os.environ.get(name, "") for name in names]
        return sha256_text("\n".join(addresses)) if any(addresses) else ""

    @property
    def dimensions(self) -> None:
        """Return None: the provider tells with its first answer."""
        return None

    def token_ids(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Return none for any text: providers show no tokens."""
        return [np.zeros(0, dtype=np.int32) for _ in texts]

    def encode(self, texts: Sequence[str]) -> list[Encoded]:
        """Return one encoding per text, without tokens.

        Raises:
            EmbedderError: the provider refuses, is silent, cannot be reached, or gives no vector
                of finite numbers for each text.
        """
        if len(texts) == 0:
            return []
        try:
            sent = [utf8_bytes(text).decode() for text in texts]
            vectors = np.asarray(self._embed(sent), dtype=np.float32)
        except Exception as error:  # LiteLLM raises its own types per provider
            # Without its cause: providers echo keys and texts, which a traceback would log.
            raise EmbedderError(f"embedder {self.id}: {_refusal(error)}") from None
        if len(vectors) != len(texts):
            found = f"{len(vectors)} vectors for {len(texts)} texts"
            raise EmbedderError(f"embedder {self.id}: {found}")
        if vectors.ndim != 2 or not np.isfinite(vectors).all():
            raise EmbedderError(f"embedder {self.id}: it gives no vectors of finite numbers")
        none = np.zeros(0, dtype=np.int64)
        return [encoded(vector, none, np.zeros((0, len(vector)))) for vector in vectors]


def _refusal(error: Exception) -> str:
    """Return why a provider gave no vectors, in words of this package alone."""
    status = getattr(error, "status_code", None)
    known = status if isinstance(status, int) else 0
    reason = _REFUSALS.get(known, _REFUSALS[known // 100 * 100] if known // 100 in (4, 5) else "")
    details = " ".join([type(error).__name__, *([str(known)] if known else [])])
    return f"{details}: {reason}" if reason else details
