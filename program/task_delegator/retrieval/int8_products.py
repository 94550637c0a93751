"""Exact dot products of int8 vectors, single-threaded.

A linear algebra library makes floats of them and splits each product over threads that it waits
for. Where another process has the processor, dozens of small products then wait for a time
slice each. numpy has no 8-bit products; onnxruntime, which runs the encoder, has.
"""

import os
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from ..system import Lock

_ZERO = np.array(128, dtype=np.uint8)  # of bytes that stand for signed ones
# Unsigned by signed bytes are multiplied twice as fast as unsigned by unsigned ones. Processors
# without VNNI add two such products in 16 bits, which 2 * 255 * 64 fits into.
_SMALL = 64
_SIGNED_ZERO = np.array(0, dtype=np.int8)
_UINT8, _INT8, _INT32 = 2, 3, 6  # ONNX types
_turn = Lock()
# By process and type; those of parents stay, as they cannot end here.
_sessions: dict[tuple[int, int], Any] = {}


def unsigned(vectors: np.ndarray) -> np.ndarray:
    """Return int8 vectors as ``products`` takes them: uint8, zero at 128."""
    return vectors.view(np.uint8) ^ 0x80


def products(held: Iterable[np.ndarray], task: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the dot product of each vector with each, int32, shape (m, n) per array of vectors.

    The vectors that are many are taken as they lie: what is turned round for the processor is
    the few, and the result.

    Args:
        held: arrays of ``unsigned``, shape (n, dim), each row in one piece.
        task: int8, shape (m, dim); where no number is beyond 64, as in most unit vectors times
            127, it takes half the time.
    """
    if _are_small(task):
        kind, columns, zero = _INT8, task.T, _SIGNED_ZERO
    else:
        kind, columns, zero = _UINT8, unsigned(task).T, _ZERO
    multiply = _session_here(kind).run
    fed = {"b": np.ascontiguousarray(columns), "y": _ZERO, "z": zero}
    for vectors in held:
        yield multiply(None, {"a": vectors, **fed})[0]


def _are_small(task: np.ndarray) -> bool:
    """Tell whether no number is beyond 64, as in most unit vectors times 127."""
    return bool(task.min() >= -_SMALL and task.max() <= _SMALL)


def _session_here(kind: int) -> Any:
    """Return this process's own: a forked child cannot use its parent's threads and locks."""
    key = os.getpid(), kind
    with _turn:
        if key not in _sessions:
            _sessions[key] = _session(_model(kind))
        return _sessions[key]


def _session(model: bytes) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _model(kind: int) -> bytes:
    """Return an ONNX model (a protocol buffer): MatMulInteger(a, b, y, z), turned round.

    Args:
        kind: type of ``b`` and of its zero.
    """
    product = b"".join(_field(1, name) for name in (b"a", b"b", b"y", b"z"))
    product += _field(2, b"p") + _field(4, b"MatMulInteger")
    turn = _field(1, b"p") + _field(2, b"c") + _field(4, b"Transpose")
    types = {b"a": _UINT8, b"b": kind, b"y": _UINT8, b"z": kind}
    graph = b"".join(_field(1, node) for node in (product, turn)) + _field(2, b"g")
    graph += b"".join(_port(11, name, held) for name, held in types.items())
    graph += _port(12, b"c", _INT32)
    return _number(1, 8) + _field(8, _number(2, 10)) + _field(7, graph)  # versions: IR, operators


def _port(number: int, name: bytes, kind: int) -> bytes:
    return _field(number, _field(1, name) + _tensor_type(kind))


def _tensor_type(kind: int) -> bytes:
    return _field(2, _field(1, _number(1, kind)))


def _field(number: int, content: bytes) -> bytes:
    """Return a protocol buffer's field of bytes, 127 at most."""
    return bytes([number << 3 | 2, len(content)]) + content


def _number(number: int, value: int) -> bytes:
    """Return a protocol buffer's field of a whole number, 127 at most."""
    return bytes([number << 3, value])
