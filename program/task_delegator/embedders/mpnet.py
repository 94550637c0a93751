"""Embedder: all-mpnet-base-v2 with weights of four bits, which ``fetch`` assembles once."""

from .fetched import fetched_files
from .onnx_encoder import OnnxEncoder

MODEL, VOCABULARY = "mpnet.onnx", "mpnet-tokenizer.json"
SHA256 = {
    MODEL: "3e7fd47ed6b8d7bdb942289e93797070285391e25d1d1aa86e4e8d841e241da0",
    VOCABULARY: "b8be2c30ba5dd723a6d5ee26d013da103d5408d92ddcb23747622f9e48f1d842",
}
_MOST_TOKENS = 384  # the model's own limit (max_seq_length)
_DIMENSIONS = 768


class MPNet(OnnxEncoder):
    """Embed with all-mpnet-base-v2 (4-bit ONNX, 768 dimensions) on the CPU.

    Raises:
        InputError: it was not fetched, or a file is damaged.
    """

    id = f"mpnet:{SHA256[MODEL][:12]}"
    languages: frozenset[str] | None = frozenset({"en"})

    def __init__(self) -> None:
        weights, vocabulary = fetched_files("mpnet", SHA256)
        super().__init__(weights, vocabulary, _MOST_TOKENS, _DIMENSIONS)

    def __reduce__(self) -> "tuple[type[MPNet], tuple[()]]":
        """Leave out weights and threads: another process has its own."""
        return MPNet, ()
