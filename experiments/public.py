"""How does the program do on public data, true 10-shot, without an LM?

Agents have their 10 samples and their names; train and validation choose knobs and
calibration and nothing else; the full test split is evaluated once.
"""

import os
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from optimize.compile import Options, compile_program
from optimize.data import load_dataset
from task_delegator.errors import InputError

ROOT = Path(os.environ.get("TASK_DELEGATOR_PUBLIC_DATA", "../shared/data"))
_SETS = ("banking77", "clinc150", "hwu64")


def run(quick: bool) -> list[dict[str, Any]]:
    """Return one report per public set; quick takes one, few trials and its validation."""
    rows = []
    for name in _SETS[-1:] if quick else _SETS:
        folder = ROOT / name
        if not folder.is_dir():
            raise InputError(f"{folder}: no such data; set TASK_DELEGATOR_PUBLIC_DATA")
        with tempfile.TemporaryDirectory() as out:
            options = Options(out=Path(out) / name, preset="full")
            if quick:
                options = replace(options, trials=10)
            reports = compile_program(load_dataset(folder), options, lm=None).reports
        report = reports["validation" if quick else "test"]
        rows.append({**report.to_json(), "data": name})
    return rows
