"""What does completing the registry's entries add?

The same compilation (search, calibration, no LM at run time) for the agents as written and with
``datasets/enrichment.json``, written offline by a large LM; paired on the same test requests.
"""

import shutil
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from optimize import metrics
from optimize.compile import Options, compile_program
from optimize.data import OURS, load_dataset
from optimize.evaluate import delegate_all, evaluate, outcomes_right
from task_delegator.agents import read_json
from task_delegator.enrichment import FILE

_WRITERS = {
    "as it is": None,
    "large LM": OURS / FILE,
}


def run(quick: bool) -> list[dict[str, Any]]:
    """Return one row per writer; quick compiles with 20 trials and looks at validation."""
    rows: list[dict[str, Any]] = []
    baseline = None
    for writer, source in _WRITERS.items():
        with tempfile.TemporaryDirectory() as folder:
            data = Path(folder) / "ours"
            shutil.copytree(OURS, data, ignore=shutil.ignore_patterns(FILE, "*.md"))
            samples = 0
            if source is not None:
                shutil.copy(source, data / FILE)
                additions = read_json(source)["agents"].values()
                samples = sum(len(a["user_request_samples"]) for a in additions)
            dataset = load_dataset(data).without_plans()
            options = Options(
                out=Path(folder) / "program", preset="full", trials=20 if quick else None
            )
            program = compile_program(dataset, options, lm=None).program
            split = "validation" if quick else "test"
            right = outcomes_right(delegate_all(program, dataset.splits[split], writer))
            report = evaluate(program, dataset, split, name=writer).to_json()
            del report["commit"]  # the result file names it
        baseline = right if baseline is None else baseline
        rows.append(
            {
                "writer": writer,
                "samples_added": samples,
                **{**report, "data": "ours", "program": writer},
                "versus_as_it_is": asdict(metrics.compare(right, baseline)),
            }
        )
    return rows
