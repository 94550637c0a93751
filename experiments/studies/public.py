"""How does the program do on public data, without an LM?

Intent sets true 5- and 10-shot: agents have their names and so many samples. Seal-Tools: 4,076
tools with descriptions and no samples. Healthcare routing: seven overlapping routes, and three
requests that none of them should get. Train and validation choose knobs and calibration
and nothing else; the full test split is evaluated once.
"""

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from experiments.support.results import ROOT
from optimize.compile import Options, compile_program
from optimize.data import Dataset, load_dataset
from task_delegator.agents import Registry
from task_delegator.errors import InputError

_TRIALS = 100  # on thousands of requests the fitted weights are found among the first
_SETS = ("banking77", "clinc150", "hwu64")


def run(quick: bool) -> list[dict[str, Any]]:
    """Return one report per public set; quick takes one, few trials and its validation."""
    rows = []
    for name, dataset in public_sets(_SETS[-1:] if quick else _SETS, quick):
        with tempfile.TemporaryDirectory() as out:
            trials = 10 if quick else _TRIALS
            options = Options(out=Path(out) / "program", preset="full", trials=trials)
            reports = compile_program(dataset, options, lm=None).reports
        report = reports["validation" if quick else "test"]
        rows.append({**report.to_json(), "data": name, "agents": len(dataset.registry)})
    return rows


def public_sets(
    names: tuple[str, ...] = _SETS, quick: bool = False
) -> Iterator[tuple[str, Dataset]]:
    """Yield intent sets with 10 and 5 samples, then the others; quick: with 10 alone."""
    for name in names:
        dataset = public(name)
        yield name, dataset
        if not quick:
            yield f"{name}, 5 samples", replace(dataset, registry=_five(dataset.registry))
    if not quick:
        yield "seal_tools", public("seal_tools")
        yield "healthcare_routing", _pooled(public("healthcare_routing"))


def public(name: str) -> Dataset:
    """Return a public set.

    Raises:
        InputError: it is not there.
    """
    folder = ROOT / name
    if not folder.is_dir():
        raise InputError(f"{folder}: no such data; set TASK_DELEGATOR_PUBLIC_DATA")
    return load_dataset(folder)


def _five(registry: Registry) -> Registry:
    """Return the registry with the five samples that the set names for 5-shot."""
    return Registry(
        agent.model_copy(
            update={
                "user_request_samples": tuple((agent.model_extra or {})["user_request_samples_5"])
            }
        )
        for agent in registry
    )


def _pooled(dataset: Dataset) -> Dataset:
    """Return a tiny set with train as validation too: 14 requests cannot calibrate anything."""
    both = (*dataset.splits["train"], *dataset.splits["validation"])
    away = (*dataset.out_of_scope["train"], *dataset.out_of_scope["validation"])
    return replace(
        dataset,
        splits=dataset.splits | {"validation": both},
        out_of_scope=dataset.out_of_scope | {"validation": away},
    )
