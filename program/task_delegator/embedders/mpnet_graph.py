"""Write all-mpnet-base-v2 as an ONNX graph with weights of four bits.

Matrices are quantized in blocks of 32 to 4 bits, the word embedding to 8 bits a row, the rest
stays float32: 79 MB of 438. The graph is that of Song et al., MPNet (2020), whose attention adds a
learned bias by relative position.
"""

import json
import math
import struct
from pathlib import Path

import numpy as np

from .encoder_graph import BLOCK, EncoderGraph

_LAYERS, _DIM, _HEADS, _POSITIONS, _EPSILON = 12, 768, 12, 512, 1e-5
_BUCKETS, _FARTHEST = 32, 128  # of relative positions, both directions
_OPSET = 17


def write_mpnet(weights: Path, target: Path) -> None:
    """Write the graph of a ``model.safetensors``.

    Raises:
        InputError: the package ``onnx`` is missing.
    """
    graph = _MPNetGraph(_SafeTensors(weights), _DIM, _HEADS, _EPSILON)
    hidden, bias = graph.start()
    for layer in range(_LAYERS):
        hidden = graph.layer(f"encoder.layer.{layer}.", hidden, bias)
    target.write_bytes(graph.finished(hidden, "mpnet", _OPSET))


class _SafeTensors:
    """The float32 tensors of a safetensors file, by name."""

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            self._facts = json.loads(file.read(length))
        self._bytes = np.memmap(path, dtype=np.uint8, mode="r", offset=8 + length)

    def __getitem__(self, name: str) -> np.ndarray:
        start, end = self._facts[name]["data_offsets"]
        return self._bytes[start:end].view(np.float32).reshape(self._facts[name]["shape"])

    def four_bits(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Quantize a matrix: the largest weight of a block is the level -8."""
        matrix = self[name]
        blocks = matrix.reshape(matrix.shape[0], -1, BLOCK)
        largest = np.abs(blocks).argmax(axis=2)[..., None]
        scales = np.take_along_axis(blocks, largest, axis=2) / np.float32(-8)
        parts = np.divide(blocks, scales, out=np.zeros_like(blocks), where=scales != 0)
        levels = np.clip(np.floor(parts + np.float32(8.5)), 0, 15).astype(np.uint8)
        return levels[..., 0::2] | levels[..., 1::2] << 4, scales[..., 0].astype(np.float32)


class _MPNetGraph(EncoderGraph):
    def start(self) -> tuple[str, str]:
        """Add the embeddings of the tokens; return them and the bias of attention."""
        mask = "attention_mask"
        one = self._number("one", 1)
        counted = self._add("CumSum", mask, self._number("axis", 1))
        places = self._add("Add", self._add("Mul", counted, mask), one)
        rows, scales = _eight_bits(self._tensors["embeddings.word_embeddings.weight"])
        words = self._add("Gather", self._hold("words", rows), "input_ids")
        sizes = self._add("Gather", self._hold("word_scales", scales), "input_ids")
        words = self._add("Mul", self._add("Cast", words, to=1), sizes)
        kept = self._hold("positions", self._tensors["embeddings.position_embeddings.weight"])
        summed = self._add("Add", words, self._add("Gather", kept, places))
        return self._normal("embeddings.LayerNorm", summed), self._bias(one)

    def _bias(self, one: str) -> str:
        """Add the bias by relative position, and that of what is masked."""
        learned = self._tensors["encoder.relative_attention_bias.weight"]
        ahead = range(1 - _POSITIONS, _POSITIONS)
        table = self._hold("distances", np.stack([learned[_bucket(far)] for far in ahead]))
        length = self._add("Gather", self._add("Shape", "input_ids"), one, axis=0)
        line = self._add("Range", self._number("zero", 0), length, one)
        first = self._hold("first", np.array([0]))
        across = self._add("Unsqueeze", line, first)
        down = self._add("Unsqueeze", line, self._hold("second", np.array([1])))
        far = self._add("Sub", across, down)
        far = self._add("Add", far, self._number("middle", _POSITIONS - 1))
        bias = self._add("Transpose", self._add("Gather", table, far), perm=[2, 0, 1])
        hidden = self._hide(one)
        return self._add("Add", self._add("Unsqueeze", bias, first), hidden)


def _bucket(far: int) -> int:
    """Return the row of a relative position: near ones have their own, far ones share."""
    half, exact = _BUCKETS // 2, _BUCKETS // 4
    start, far = (half, far) if far > 0 else (0, -far)
    if far < exact:
        return start + far
    grown = math.log(far / exact) / math.log(_FARTHEST / exact) * (half - exact)
    return start + min(exact + int(grown), half - 1)


def _eight_bits(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return rows of 8 bits and each row's scale."""
    scales = np.abs(matrix).max(axis=1, keepdims=True) / np.float32(127)
    scales = np.where(scales == 0, np.float32(1), scales)
    return np.rint(matrix / scales).astype(np.int8), scales
