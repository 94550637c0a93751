"""Tell of files of a dataset directory that nobody reads, though their names say they are data."""

import logging
import re
from collections.abc import Sequence
from pathlib import Path

from task_delegator.errors import InputError
from task_delegator.registry import misspelled
from task_delegator.text import printable

_log = logging.getLogger(__name__)

# What others call these files.
_MEANT = {
    "training": "train.json",
    "valid": "validation.json",
    "val": "validation.json",
    "dev": "validation.json",
    "development": "validation.json",
    "eval": "validation.json",
    "evaluation": "validation.json",
    "test": "ground_truth.json",
    "testing": "ground_truth.json",
    "oos": "out_of_scope.json",
}
_DATA = re.compile(  # files of rows, packed or not; notes and copies (train.json.bak) are others
    r"([^.]+)\.(?:json|jsonl|ndjson|csv|tsv|ya?ml|parquet|arrow|xlsx?)(?:\.(?:gz|bz2|xz|zst|zip))?",
    re.IGNORECASE,
)


def check_names(folder: Path, names: Sequence[str]) -> None:
    """Refuse a file that is not read, where its name nearly is that of one that is missing.

    Where that one is there too, such as ``train.json`` beside ``train.csv``, a warning says which
    of them is read.

    Another ending counts (``train.csv``), and so does what others call a split (``dev.json``).
    Links to a file that is read are fine.

    Args:
        folder: the dataset directory.
        names: of the files that are read, all of them JSON.

    Raises:
        InputError: the first such file, or the directory cannot be listed.
    """
    meant = _MEANT | {Path(name).stem: name for name in names}
    try:
        found = sorted(path.name for path in folder.iterdir())
    except OSError as error:
        raise InputError(f"{folder}: cannot be listed: {error.strerror}; allow it") from error
    for name in found:
        parts = _DATA.fullmatch(name)
        if parts is None or name in names:
            continue
        stem = parts[1]
        right = stem if stem in meant else misspelled(stem, meant)
        if right is None or not _is_another(folder / name, folder / meant[right]):
            continue
        shown = printable(str(folder / name))
        if (folder / meant[right]).exists():
            _log.warning("%s: is not read, %s beside it is", shown, meant[right])
        else:
            raise InputError(
                f"{shown}: is not read: did you mean {meant[right]}? "
                "Rename or convert it, or move it to another directory"
            )


def _is_another(path: Path, read: Path) -> bool:
    """Tell whether a path is no directory and not the very file that is read."""
    return not path.is_dir() and not (path.exists() and read.exists() and path.samefile(read))
