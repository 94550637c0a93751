"""Write all-mpnet-base-v2 as an ONNX graph with weights of four bits.

Matrices are quantized in blocks of 32 to 4 bits (``MatMulNBits``), the word embedding to 8 bits a
row, the rest stays float32: 79 MB of 438. The graph is that of Song et al., MPNet (2020), whose
attention adds a learned bias by relative position.
"""

import json
import math
import struct
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from ..system import needed

_LAYERS, _DIM, _HEADS, _BLOCK, _POSITIONS = 12, 768, 12, 32, 512
_BUCKETS, _FARTHEST = 32, 128  # of relative positions, both directions


def write_mpnet(weights: Path, target: Path) -> None:
    """Write the graph of a ``model.safetensors``.

    Raises:
        InputError: the package ``onnx`` is missing.
    """
    with needed("encoder"):
        onnx: Any = import_module("onnx")
    graph = _Graph(onnx, _Tensors(weights))
    hidden, bias = graph.start()
    for layer in range(_LAYERS):
        hidden = graph.layer(f"encoder.layer.{layer}.", hidden, bias)
    target.write_bytes(graph.finished(hidden).SerializeToString(deterministic=True))


class _Tensors:
    """The float32 tensors of a safetensors file, by name."""

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            self._facts = json.loads(file.read(length))
        self._bytes = np.memmap(path, dtype=np.uint8, mode="r", offset=8 + length)

    def __getitem__(self, name: str) -> np.ndarray:
        start, end = self._facts[name]["data_offsets"]
        return self._bytes[start:end].view(np.float32).reshape(self._facts[name]["shape"])


class _Graph:
    """Nodes and tensors as they are added; every method returns the name of its result."""

    def __init__(self, onnx: Any, tensors: _Tensors) -> None:
        self._onnx, self._tensors = onnx, tensors
        self._nodes: list[Any] = []
        self._held: dict[str, Any] = {}

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
        return self._normal("embeddings.LayerNorm", summed), self._bias(mask, one)

    def layer(self, name: str, hidden: str, bias: str) -> str:
        """Add attention and the two dense matrices of a layer."""
        inner = name + "attention.attn."
        query, key, value = (
            self._heads(self._dense(inner + part, hidden), order)
            for part, order in (("q", [0, 2, 1, 3]), ("k", [0, 2, 3, 1]), ("v", [0, 2, 1, 3]))
        )
        scale = self._number("scale", 1 / math.sqrt(_DIM // _HEADS), np.float32)
        scores = self._add("Mul", self._add("MatMul", query, key), scale)
        share = self._add("Softmax", self._add("Add", scores, bias), axis=-1)
        mixed = self._add("Transpose", self._add("MatMul", share, value), perm=[0, 2, 1, 3])
        mixed = self._add("Reshape", mixed, self._hold("joined", np.array([0, 0, _DIM])))
        mixed = self._add("Add", self._dense(inner + "o", mixed), hidden)
        hidden = self._normal(name + "attention.LayerNorm", mixed)
        wide = self._gelu(self._dense(name + "intermediate.dense", hidden))
        summed = self._add("Add", self._dense(name + "output.dense", wide), hidden)
        return self._normal(name + "output.LayerNorm", summed)

    def finished(self, hidden: str) -> Any:
        """Return the model."""
        helper, kinds = self._onnx.helper, self._onnx.TensorProto
        self._nodes.append(helper.make_node("Identity", [hidden], ["last_hidden_state"]))
        value, shape = helper.make_tensor_value_info, ["batch", "tokens"]
        given = [value(name, kinds.INT64, shape) for name in ("input_ids", "attention_mask")]
        made = [value("last_hidden_state", kinds.FLOAT, [*shape, _DIM])]
        graph = helper.make_graph(self._nodes, "mpnet", given, made, list(self._held.values()))
        sets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
        return helper.make_model(graph, opset_imports=sets, ir_version=8)

    def _bias(self, mask: str, one: str) -> str:
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
        hidden = self._add("Cast", self._add("Sub", one, mask), to=1)
        hidden = self._add("Mul", hidden, self._number("away", -1e4, np.float32))
        hidden = self._add("Unsqueeze", hidden, self._hold("inner", np.array([1, 2])))
        return self._add("Add", self._add("Unsqueeze", bias, first), hidden)

    def _dense(self, name: str, given: str) -> str:
        matrix = self._tensors[name + ".weight"]
        wide, deep = matrix.shape
        bits, scales = _four_bits(matrix)
        held = self._hold(name + ".bits", bits), self._hold(name + ".scales", scales.reshape(-1))
        facts = {"K": deep, "N": wide, "bits": 4, "block_size": _BLOCK, "accuracy_level": 4}
        product = self._add("MatMulNBits", given, *held, domain="com.microsoft", **facts)
        return self._add("Add", product, self._hold(name + ".bias", self._tensors[name + ".bias"]))

    def _normal(self, name: str, given: str) -> str:
        ends = (self._hold(name + end, self._tensors[name + end]) for end in (".weight", ".bias"))
        return self._add("LayerNormalization", given, *ends, axis=-1, epsilon=1e-5)

    def _heads(self, given: str, order: list[int]) -> str:
        shape = self._hold("split", np.array([0, 0, _HEADS, _DIM // _HEADS]))
        return self._add("Transpose", self._add("Reshape", given, shape), perm=order)

    def _gelu(self, given: str) -> str:
        root = self._number("root", math.sqrt(2), np.float32)
        bell = self._add("Erf", self._add("Div", given, root))
        bell = self._add("Add", bell, self._number("unit", 1, np.float32))
        half = self._number("half", 0.5, np.float32)
        return self._add("Mul", self._add("Mul", given, bell), half)

    def _number(self, name: str, value: float, kind: type = np.int64) -> str:
        return self._hold(name, np.array(value, dtype=kind))

    def _hold(self, name: str, array: np.ndarray) -> str:
        if name not in self._held:
            tensor = self._onnx.numpy_helper.from_array(np.ascontiguousarray(array), name)
            self._held[name] = tensor
        return name

    def _add(self, kind: str, *given: str, **facts: Any) -> str:
        result = f"{kind}_{len(self._nodes)}"
        self._nodes.append(self._onnx.helper.make_node(kind, given, [result], **facts))
        return result


def _bucket(far: int) -> int:
    """Return the row of a relative position: near ones have their own, far ones share."""
    half, exact = _BUCKETS // 2, _BUCKETS // 4
    start, far = (half, far) if far > 0 else (0, -far)
    if far < exact:
        return start + far
    grown = math.log(far / exact) / math.log(_FARTHEST / exact) * (half - exact)
    return start + min(exact + int(grown), half - 1)


def _four_bits(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return a matrix in blocks of 4 bits, two in a byte, and each block's scale."""
    blocks = matrix.reshape(matrix.shape[0], -1, _BLOCK)
    largest = np.abs(blocks).argmax(axis=2)[..., None]
    scales = np.take_along_axis(blocks, largest, axis=2) / np.float32(-8)
    parts = np.divide(blocks, scales, out=np.zeros_like(blocks), where=scales != 0)
    levels = np.clip(np.floor(parts + np.float32(8.5)), 0, 15).astype(np.uint8)
    return levels[..., 0::2] | levels[..., 1::2] << 4, scales[..., 0].astype(np.float32)


def _eight_bits(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return rows of 8 bits and each row's scale."""
    scales = np.abs(matrix).max(axis=1, keepdims=True) / np.float32(127)
    scales = np.where(scales == 0, np.float32(1), scales)
    return np.rint(matrix / scales).astype(np.int8), scales
