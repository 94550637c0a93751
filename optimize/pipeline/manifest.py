"""What manifests and MLflow tags say of a run: code, data, registry, LM, embedder."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dspy

from optimize.data import Dataset
from optimize.provenance import commit
from task_delegator.lm import EMBEDDED_PROVIDER


def provenance(dataset: Dataset) -> dict[str, Any]:
    """Return what a manifest says of code and data.

    It lists the agents, since a confidence holds only for the registry that it was fitted to.
    """
    return {
        "commit": commit(),
        "dataset": {"path": str(dataset.path), "sha256": dataset.digests()},
        "registry": {
            "sha256": dataset.registry.sha256(),
            "agents": len(dataset.registry),
            "enriched": dataset.enriched,
            "calibrated": sorted(agent.reading_digest() for agent in dataset.registry),
        },
    }


def run_tags(
    kind: str, dataset: Dataset, *, optimizer: str, lm: dspy.BaseLM | None, embedder: str
) -> dict[str, str]:
    """Return the tags of an MLflow run.

    Args:
        kind: the command that the run tracks.
        optimizer: name or names of the DSPy optimizers, 'none' without one.
        embedder: spec or id.
    """
    return {
        "kind": kind,
        "optimizer": optimizer,
        "lm": "none" if lm is None else str(lm.model),
        "embedder": embedder,
        "data": str(dataset.path),
        "commit": commit(),
    }


def run_name(tags: Mapping[str, str]) -> str:
    """Return the name of a run, by which it is found in a list: data, LM, embedder, optimizer.

    Of the embedded LM without the digests of its files, which the param ``lm`` holds.
    """
    provider, _, model = tags["lm"].rpartition("/")
    lm = model.partition(".")[0] if provider == EMBEDDED_PROVIDER else model
    lm = "no LM" if lm == "none" else lm
    names = [Path(tags["data"]).name, lm, tags["embedder"]]
    return ", ".join(names + [tags["optimizer"]] * (tags["optimizer"] != "none"))
