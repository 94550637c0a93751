"""Exact dot products of int8 vectors, single-threaded.

A linear algebra library makes floats of them and splits each product over threads that it waits
for. Where another process has the processor, dozens of small products then wait for a time
slice each. numpy has no 8-bit products; onnxruntime, which runs the encoder, has.
"""

from functools import lru_cache
from typing import Any

import numpy as np

# Bytes are unsigned, with their zero here: signed ones saturate on processors without VNNI.
_ZERO = np.array(128, dtype=np.uint8)
_UINT8, _INT32 = 2, 6  # ONNX types


def unsigned(vectors: np.ndarray) -> np.ndarray:
    """Return int8 vectors as ``products`` takes them: uint8, zero at 128."""
    return vectors.view(np.uint8) ^ 0x80


def products(rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Return the product of two matrices, int32, shape (n, m).

    Args:
        rows, columns: of ``unsigned``, shape (n, dim) and (dim, m), each row in one piece.
    """
    return _session().run(None, {"a": rows, "b": columns, "z": _ZERO})[0]


@lru_cache(maxsize=1)
def _session() -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(_model(), options, providers=["CPUExecutionProvider"])


def _model() -> bytes:
    """Return an ONNX model (a protocol buffer) of one node, c = MatMulInteger(a, b, z, z)."""
    inputs = b"".join(_field(1, name) for name in (b"a", b"b", b"z", b"z"))
    node = inputs + _field(2, b"c") + _field(4, b"MatMulInteger")
    types = {b"a": _UINT8, b"b": _UINT8, b"z": _UINT8, b"c": _INT32}
    ports = {name: _field(1, name) + _tensor_type(kind) for name, kind in types.items()}
    graph = _field(1, node) + _field(2, b"g")
    graph += b"".join(_field(11, ports[name]) for name in (b"a", b"b", b"z"))
    graph += _field(12, ports[b"c"])
    return _number(1, 8) + _field(8, _number(2, 10)) + _field(7, graph)  # versions: IR, operators


def _tensor_type(kind: int) -> bytes:
    return _field(2, _field(1, _number(1, kind)))


def _field(number: int, content: bytes) -> bytes:
    """Return a protocol buffer's field of bytes, 127 at most."""
    return bytes([number << 3 | 2, len(content)]) + content


def _number(number: int, value: int) -> bytes:
    """Return a protocol buffer's field of a whole number, 127 at most."""
    return bytes([number << 3, value])
