"""Folder of the public data sets."""

import os
from pathlib import Path

from optimize.data import Dataset, load_dataset
from task_delegator.errors import InputError

ROOT = Path(os.environ.get("TASK_DELEGATOR_PUBLIC_DATA", "../shared/data"))


def load_public(name: str) -> Dataset:
    """Return a public data set.

    Raises:
        InputError: it is not there.
    """
    folder = ROOT / name
    if not folder.is_dir():
        raise InputError(f"{folder}: no such data; set TASK_DELEGATOR_PUBLIC_DATA")
    return load_dataset(folder)
