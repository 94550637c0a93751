"""What manifests, MLflow tags and params say of a run: code, data, registry, LM, settings."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import dspy

from optimize.config import CompileConfig
from optimize.data import Dataset, fitted_on
from optimize.provenance import commit
from task_delegator.lm import EMBEDDED_PROVIDER

# Settings that are no params: three change no result, three follow from the preset and the LM.
_NO_PARAMS = ("out", "traces", "trace_texts", "cards", "most_shown", "lm_test_limit")


def provenance(dataset: Dataset, before: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return what a manifest says of code and data.

    It lists the agents, since a confidence holds only for the registry that it was fitted to, and
    digests of the requests that the program was fitted on, since it looks better on these.

    Args:
        dataset: that it was fitted on.
        before: manifest of the program that it was made from, where it keeps what that one learned.
    """
    return {
        "commit": commit(),
        "dataset": {
            "path": str(dataset.path),
            "sha256": dataset.digests(),
            **fitted_on(dataset, before),
        },
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


def run_params(
    config: CompileConfig, tags: Mapping[str, str], dataset: Dataset, leaks: int
) -> dict[str, Any]:
    """Return the settings by which compilations are told apart, as they were resolved.

    Every setting that changes the result is among them.

    Args:
        config: what the compilation does.
        tags: of its run, which name what the settings open.
        dataset: that it compiles for.
        leaks: requests that repeat a sample or another.
    """
    alone = not config.max_lm_calls
    named = {name: tags[name] for name in ("data", "lm", "embedder", "optimizer")}
    settings = {key: value for key, value in asdict(config).items() if key not in _NO_PARAMS}
    teacher = None if alone else config.teacher or tags["lm"]
    return settings | named | {"teacher": teacher, "enriched": dataset.enriched, "leaks": leaks}
