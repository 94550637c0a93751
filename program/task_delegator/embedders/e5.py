"""Embedder: multilingual-e5-small with weights of four bits, which ``fetch`` assembles once."""

from .fetched import fetched_files
from .onnx_encoder import OnnxEncoder

MODEL, VOCABULARY = "e5.onnx", "e5-tokenizer.json"
SHA256 = {
    MODEL: "cb31130906740a64c61fe1fe7cb8fa584a3bbf78623f30c0152ad532c29a7c96",
    VOCABULARY: "0b44a9d7b51c3c62626640cda0e2c2f70fdacdc25bbbd68038369d14ebdf4c39",
}
_MOST_TOKENS = 512  # the model's own limit (max_position_embeddings)
_DIMENSIONS = 384
# Its card: "query: " before both texts where neither is a passage that answers the other.
_PREFIX = "query: "


class E5(OnnxEncoder):
    """Embed with multilingual-e5-small (4-bit ONNX, 384 dimensions) on the CPU.

    Wang et al., Multilingual E5 Text Embeddings (2024). It was trained on some hundred languages,
    nearly all that the check of a task's language can tell apart: none is turned away.

    Raises:
        InputError: it was not fetched, or a file is damaged.
    """

    id = f"e5:{SHA256[MODEL][:12]}"
    languages: frozenset[str] | None = None

    def __init__(self) -> None:
        weights, vocabulary = fetched_files("e5", SHA256)
        super().__init__(weights, vocabulary, _MOST_TOKENS, _DIMENSIONS, _PREFIX)

    def __reduce__(self) -> "tuple[type[E5], tuple[()]]":
        """Leave out weights and threads: another process has its own."""
        return E5, ()
