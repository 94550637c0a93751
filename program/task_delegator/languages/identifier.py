"""Load langid's model: unpacked once, from then on mapped from a file of the user's cache.

The package ships it compressed by LZMA, which takes a third of a second to unpack. The file's
name says which model it was made of and what it holds: with another release, or where it is
damaged, it is made anew. Where the cache cannot be used, the package's own is unpacked each time.
"""

import hashlib
import io
import logging
import mmap
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..system import cache_folder, private_cache_folder, replacing, sha256_file
from ..text import shown_safely

_log = logging.getLogger(__name__)
_LAYOUT = 1  # with another number, what was kept is made again
_DIGITS = 32  # hexadecimal ones of each digest in the file's name


def load_identifier() -> Any:
    """Return langid's identifier, its probabilities normalized."""
    from py3langid.langid import MODEL_DIR, MODEL_FILE, LanguageIdentifier

    try:
        made_of = f"langid-{_LAYOUT}-{sha256_file(MODEL_DIR / MODEL_FILE)[:_DIGITS]}"
        kept = _kept(made_of)
    except (OSError, RuntimeError):  # no home, or a cache that cannot be read: nothing to lose
        made_of, kept = "", None
    if kept is not None:
        weights, bias, classes, moves, rows, features = kept
        return LanguageIdentifier(
            weights,
            bias,
            classes.tolist(),
            moves.data,
            features.tolist(),
            norm_probs=True,
            tk_row=rows.tolist(),
        )
    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    if made_of:
        _keep(made_of, identifier)
    return identifier


def _kept(made_of: str) -> list[np.ndarray] | None:
    """Return the arrays that the cache holds of a model, None where it holds none, or damage.

    Raises:
        OSError, RuntimeError: the cache cannot be read.
    """
    for path in sorted(cache_folder().glob(f"{made_of}-*.npy")):
        with path.open("rb") as file:
            if not path.stat().st_size:
                continue
            held = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        if hashlib.sha256(held).hexdigest()[:_DIGITS] == path.stem.rpartition("-")[2]:
            return _arrays(held)
    return None


def _keep(made_of: str, identifier: Any) -> None:
    """Write what an identifier consists of; files of other models, and damaged ones, go."""
    weights, bias, classes = identifier.nb_ptc, identifier.nb_pc, np.array(identifier.nb_classes)
    moves, rows = np.asarray(identifier.tk_nextmove), np.asarray(identifier.tk_row)
    parts = (weights, bias, classes, moves, rows, np.asarray(identifier.tk_output, np.int32))
    content = _bytes_of(parts)
    try:
        folder = private_cache_folder()
        for old in folder.glob("langid-*.npy"):
            old.unlink(missing_ok=True)
        digest = hashlib.sha256(content).hexdigest()[:_DIGITS]
        with replacing(folder / f"{made_of}-{digest}.npy") as partial:
            partial.chmod(0o600)
            partial.write_bytes(content)
    except (OSError, RuntimeError) as error:
        # The cache of vectors, in the same folder, warns for both.
        _log.info("langid's model is not kept: %s", shown_safely(str(error), 300))


def _bytes_of(arrays: Sequence[np.ndarray]) -> bytes:
    """Return arrays in numpy's own format, one after the other."""
    written = io.BytesIO()
    for array in arrays:
        np.save(written, np.ascontiguousarray(array), allow_pickle=False)
    return written.getvalue()


def _arrays(held: mmap.mmap) -> list[np.ndarray]:
    """Return the arrays of a file as they lie in it: what is not asked for is not read."""
    found = []
    while held.tell() < len(held):
        np.lib.format.read_magic(held)
        shape, _, dtype = np.lib.format.read_array_header_1_0(held)
        array = np.frombuffer(held, dtype, int(np.prod(shape)), held.tell()).reshape(shape)
        held.seek(array.nbytes, 1)
        found.append(array)
    return found
