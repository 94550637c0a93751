"""Requantize the packaged LM's weights to 8 bits, once, into the user's cache.

The package carries them at 4 bits with an offset (Q4_1), for which llama.cpp has no fast matrix
product on CPUs; the same weights at 8 bits (Q8_0) are read 1.6 times as fast on AVX2.
"""

import logging
import os
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from ..system import private_cache_folder
from ..text import shown_safely
from .weights import digest

_log = logging.getLogger(__name__)


def at_eight_bits(path: Path) -> Path:
    """Return a GGUF file's weights at 8 bits; the file itself where they cannot be stored.

    Args:
        path: a GGUF file, whose name ends in its quantization: ``model.Q4_1.gguf``.
    """
    try:
        return _stored(path)
    except (ImportError, OSError, RuntimeError, ValueError) as error:  # RuntimeError: no home
        said = shown_safely(str(error), 300)
        _log.warning("lm embedded: %s: served as packaged, which is slower", said)
        return path


def _stored(path: Path) -> Path:
    """Return the stored file, which one process at a time makes and which appears whole."""
    import fcntl  # POSIX: the server that is served from here asks for it first

    folder = private_cache_folder()
    target = folder / f"{path.stem.rpartition('.')[0]}.Q8_0-{digest(path)[:8]}.gguf"
    if target.is_file():
        return target
    held = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)  # a killed process lets go
        if not target.is_file():
            _log.warning("lm embedded: storing its weights at 8 bits in %s, once", target)
            _make(path, target)
    finally:
        os.close(held)
    return target


def _make(path: Path, target: Path) -> None:
    part = target.with_suffix(".part")  # of a killed process: written over
    try:
        convert(path, part)
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def convert(source: Path, target: Path) -> None:
    """Write a GGUF file's matrices at 8 bits, the rest as it is."""
    gguf: Any = import_module("gguf")
    kinds, eight = gguf.GGMLQuantizationType, gguf.GGMLQuantizationType.Q8_0
    reader = gguf.GGUFReader(source)
    writer = gguf.GGUFWriter(target, reader.fields["general.architecture"].contents())
    for name, kind, value, of in _facts(gguf, reader):
        writer.add_key_value(name, value, kind, of)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    for tensor in reader.tensors:
        if tensor.tensor_type in (kinds.F32, kinds.F16, eight):
            writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
        else:
            values = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
            writer.add_tensor(tensor.name, gguf.quants.quantize(values, eight), raw_dtype=eight)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _facts(gguf: Any, reader: Any) -> Iterator[tuple[str, Any, Any, Any]]:
    """Yield the file's facts, but for those that the writer makes itself."""
    for name, field in reader.fields.items():
        if name.startswith("GGUF.") or name in ("general.architecture", "general.file_type"):
            continue
        kind = field.types[0]
        of = field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None
        yield name, kind, field.contents(), of
