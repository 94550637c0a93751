"""Run a training once: tracked, in a folder where a stopped one goes on."""

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from optimize.checkpoint import Checkpoint, code_digest, refuse
from optimize.data import Dataset
from optimize.provenance import commit
from optimize.tracking import run as track
from task_delegator.embedders import MANIFEST
from task_delegator.system import read_json

CHECKPOINTS = "checkpoints"  # folder that is gone when the training is done


class Progress:
    """What a training reports, and what is said of it in the end.

    Args:
        checkpoint: of the training.
        run: that tracks it.
        begun: commit at which it was begun.

    Attributes:
        run_id: of MLflow.
    """

    def __init__(self, checkpoint: Checkpoint, run: track.Run, begun: str) -> None:
        self.run_id = run.id
        self._checkpoint, self._run, self._begun = checkpoint, run, begun
        self._started, self._spent = time.perf_counter(), checkpoint.load("seconds") or 0.0

    def report(self, step: int, scores: Mapping[str, float]) -> None:
        """Log the scores of a step, and keep how long it took until there."""
        self._run.log_metrics(dict(scores), step=step)
        self._checkpoint.save("seconds", self._seconds())

    def provenance(self) -> dict[str, Any]:
        """Return the commit and the minutes, of all that it took."""
        return {"commit": self._begun, "minutes": round(self._seconds() / 60, 1)}

    def _seconds(self) -> float:
        return self._spent + time.perf_counter() - self._started


def train_once(
    out: Path,
    kind: str,
    identity: Mapping[str, Any],
    tags: Mapping[str, str],
    datasets: Sequence[Dataset],
    files: Sequence[str],
    train: Callable[[Progress], dict[str, Any]],
) -> dict[str, Any]:
    """Return the manifest of what is trained; one that is there is not made again.

    Args:
        out: folder of what is made.
        kind: of what is made, such as ``encoder``.
        identity: everything that it depends on beside the code.
        tags: of the run, further ones.
        datasets: that it reads.
        files: that it makes in the folder, beside the manifest.
        train: trains, exports, writes the manifest last and returns it.

    Raises:
        InputError: the folder cannot be used, holds a run of another identity or other code, or
            is used by another process.
    """
    whole = {**identity, "code": code_digest()}
    with Checkpoint(out, whole, on_change=refuse, kind=kind) as checkpoint:
        if (out / MANIFEST).is_file():  # it is written last
            return read_json(out / MANIFEST)
        begun = checkpoint.load("begun") or commit()
        checkpoint.save("begun", begun)
        with track.run(f"finetune {kind}", {"kind": "finetune", **tags, "commit": begun}) as run:
            run.log_params(identity)
            for dataset in datasets:
                run.log_dataset(dataset)
            manifest = train(Progress(checkpoint, run, begun))
            run.log_files(out, (*files, MANIFEST), kind)
        shutil.rmtree(out / CHECKPOINTS)
        return manifest
