"""Language models: specs, the embedded server and its weights, decision backends."""

from .specs import check_spec, context_tokens, language_model, without_logprobs, writes
from .weights import ADAPTER, MANIFEST, RAW, SHIPPED, digest, find_weights, packaged

__all__ = [
    "ADAPTER",
    "MANIFEST",
    "RAW",
    "SHIPPED",
    "check_spec",
    "context_tokens",
    "digest",
    "find_weights",
    "language_model",
    "packaged",
    "without_logprobs",
    "writes",
]
