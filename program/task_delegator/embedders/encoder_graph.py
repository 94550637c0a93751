"""Write an encoder with weights of four bits as an ONNX graph, layer by layer.

Matrices are in blocks of 32 weights of 4 bits and a scale (``MatMulNBits``), the rest is float32.
Layers are those of BERT (Devlin et al., 2019): attention and two dense matrices, each followed by
its sum with what came in and a normalization. What stands before them differs between models.
"""

import math
from importlib import import_module
from typing import Any, Protocol

import numpy as np

from ..system import needed

BLOCK = 32


class Tensors(Protocol):
    """The tensors of a model, by the names of transformers' MPNet."""

    def __getitem__(self, name: str) -> np.ndarray:
        """Return a tensor as float32."""
        ...

    def four_bits(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Return a matrix in blocks, shape (rows, blocks, 16) of uint8, two weights in a byte.

        The scales come with it, shape (rows, blocks), float32.
        """
        ...


class EncoderGraph:
    """Nodes and tensors as they are added; every method returns the name of its result.

    Args:
        tensors: of the model.
        dim, heads: numbers of a token's vector and of the parts that attention sees.
        epsilon: of the normalizations.

    Raises:
        InputError: the package ``onnx`` is missing.
    """

    def __init__(self, tensors: Tensors, dim: int, heads: int, epsilon: float) -> None:
        with needed("encoder"):
            self._onnx: Any = import_module("onnx")
        self._tensors, self._dim, self._heads, self._epsilon = tensors, dim, heads, epsilon
        self._nodes: list[Any] = []
        self._held: dict[str, Any] = {}

    def layer(self, name: str, hidden: str, bias: str) -> str:
        """Add attention and the two dense matrices of a layer."""
        inner = name + "attention.attn."
        query, key, value = (
            self._split(self._dense(inner + part, hidden), order)
            for part, order in (("q", [0, 2, 1, 3]), ("k", [0, 2, 3, 1]), ("v", [0, 2, 1, 3]))
        )
        scale = self._number("scale", 1 / math.sqrt(self._dim // self._heads), np.float32)
        scores = self._add("Mul", self._add("MatMul", query, key), scale)
        share = self._add("Softmax", self._add("Add", scores, bias), axis=-1)
        mixed = self._add("Transpose", self._add("MatMul", share, value), perm=[0, 2, 1, 3])
        mixed = self._add("Reshape", mixed, self._hold("joined", np.array([0, 0, self._dim])))
        mixed = self._add("Add", self._dense(inner + "o", mixed), hidden)
        hidden = self._normal(name + "attention.LayerNorm", mixed)
        wide = self._gelu(self._dense(name + "intermediate.dense", hidden))
        summed = self._add("Add", self._dense(name + "output.dense", wide), hidden)
        return self._normal(name + "output.LayerNorm", summed)

    def finished(self, hidden: str, name: str, opset: int) -> bytes:
        """Return the model's file."""
        helper, kinds = self._onnx.helper, self._onnx.TensorProto
        self._nodes.append(helper.make_node("Identity", [hidden], ["last_hidden_state"]))
        value, shape = helper.make_tensor_value_info, ["batch", "tokens"]
        given = [value(name, kinds.INT64, shape) for name in ("input_ids", "attention_mask")]
        made = [value("last_hidden_state", kinds.FLOAT, [*shape, self._dim])]
        graph = helper.make_graph(self._nodes, name, given, made, list(self._held.values()))
        sets = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
        model = helper.make_model(graph, opset_imports=sets, ir_version=8)
        return model.SerializeToString(deterministic=True)

    def _hide(self, one: str) -> str:
        """Add a bias that leaves out what is masked, one number a token."""
        hidden = self._add("Cast", self._add("Sub", one, "attention_mask"), to=1)
        hidden = self._add("Mul", hidden, self._number("away", -1e4, np.float32))
        return self._add("Unsqueeze", hidden, self._hold("inner", np.array([1, 2])))

    def _dense(self, name: str, given: str) -> str:
        bits, scales = self._tensors.four_bits(name + ".weight")
        held = self._hold(name + ".bits", bits), self._hold(name + ".scales", scales.reshape(-1))
        wide, deep = len(bits), bits.shape[1] * BLOCK
        facts = {"K": deep, "N": wide, "bits": 4, "block_size": BLOCK, "accuracy_level": 4}
        product = self._add("MatMulNBits", given, *held, domain="com.microsoft", **facts)
        return self._add("Add", product, self._hold(name + ".bias", self._tensors[name + ".bias"]))

    def _normal(self, name: str, given: str) -> str:
        ends = (self._hold(name + end, self._tensors[name + end]) for end in (".weight", ".bias"))
        return self._add("LayerNormalization", given, *ends, axis=-1, epsilon=self._epsilon)

    def _split(self, given: str, order: list[int]) -> str:
        """Add the split of a vector into heads."""
        shape = self._hold("split", np.array([0, 0, self._heads, self._dim // self._heads]))
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
