"""Write a trained encoder as the ONNX graph of the packaged MiniLM, with its own weights.

The graph keeps its inputs, its token vectors and its speed. Matrices are stored in 8 bits, a scale
for each output channel or row; products are computed in float32, as of the packaged model.
"""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from task_delegator.errors import InputError
from task_delegator.system import needed, replacing

_INNER = "inner."  # before the names of the weights in the packaged graph
_WORDS = ("embeddings.word_embeddings.weight", "embeddings.position_embeddings.weight")


def write_encoder(packaged: Path, weights: Mapping[str, np.ndarray], target: Path) -> None:
    """Write the packaged graph with other weights, in one step.

    Args:
        packaged: the graph of the packaged MiniLM.
        weights: float32, by the names of ``BertModel``.
        target: the file to write.

    Raises:
        InputError: ``onnx`` is missing, or a weight of the graph is not among those given.
    """
    with needed("encoder"):
        onnx: Any = import_module("onnx")
    model = onnx.load(str(packaged))
    held = {tensor.name: tensor for tensor in model.graph.initializer}
    for name, key, transposed in _places(model.graph, held):
        if key not in weights:
            raise InputError(f"export: the encoder has no weight {key!r}")
        array = np.asarray(weights[key], dtype=np.float32)
        array = array.T if transposed else array
        if name in held:
            _put(onnx, held[name], array)
        else:
            levels, scales = eight_bits(array, axis=0 if transposed else 1)
            _put(onnx, held[f"{name}_q"], levels)
            _put(onnx, held[f"{name}_scale"], scales)
    with replacing(target) as part:
        part.write_bytes(model.SerializeToString(deterministic=True))


def eight_bits(matrix: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a matrix in 8 bits and the scales along an axis, as (levels, scales)."""
    scales = np.abs(matrix).max(axis=axis, keepdims=True) / np.float32(127)
    scales = np.where(scales == 0, np.float32(1), scales).astype(np.float32)
    return np.clip(np.rint(matrix / scales), -127, 127).astype(np.int8), scales


def _places(graph: Any, held: Mapping[str, Any]) -> list[tuple[str, str, bool]]:
    """Return (tensor of the graph, name of the weight, whether it stands transposed).

    A matrix of a dense layer has no name of its own: it is that of the bias that is added to its
    product.
    """
    found = [
        (name, name.removeprefix(_INNER), False)
        for name in held
        if name.startswith(_INNER) and name.endswith(("weight", "bias"))
    ]
    found += [(_INNER + words, words, False) for words in _WORDS]
    products = {
        node.output[0]: node.input[1]
        for node in graph.node
        if node.op_type == "MatMul" and f"{node.input[1]}_q" in held
    }
    for node in graph.node:
        if node.op_type == "Add":
            matrices = [products[name] for name in node.input if name in products]
            biases = [n for n in node.input if n in held and n.endswith(".bias")]
            if matrices and biases:
                key = biases[0].removeprefix(_INNER).removesuffix("bias") + "weight"
                found.append((matrices[0], key, True))
    return found


def _put(onnx: Any, tensor: Any, array: np.ndarray) -> None:
    if tuple(tensor.dims) != array.shape:
        raise InputError(
            f"export: {tensor.name}: shape {array.shape} is not that of the graph's weight, "
            f"{tuple(tensor.dims)}"
        )
    tensor.CopyFrom(onnx.numpy_helper.from_array(np.ascontiguousarray(array), tensor.name))
