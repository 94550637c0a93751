"""``task-delegator calibrate``: on the agents' own samples, before any request is labeled."""

import argparse
from pathlib import Path
from typing import Any

from .options import add_program, enriched, number_in, read_registry, tell


def add_to(commands: Any, program: argparse.ArgumentParser) -> None:
    """Add the command to those of the command line."""
    calibrate = commands.add_parser(
        "calibrate", help="calibrate a program on the agents' samples, without labeled requests"
    )
    calibrate.add_argument("--agents", metavar="FILE", required=True, help="the registry")
    add_program(calibrate)
    calibrate.add_argument(
        "--target-precision",
        type=number_in("(0, 1]"),
        metavar="P",
        help="aim at this precision of assigned tasks, above 0 and at most 1; default: 0.95",
    )
    calibrate.add_argument("--out", metavar="FOLDER", help="write the calibrated program")
    calibrate.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from ..artifact import (
        calibrate_itself,
        find,
        load,
        read_manifest,
        save,
        self_calibrated_manifest,
        written_samples,
    )

    path, registry = read_registry(options)
    delegator = load(
        options.program,
        enriched(options, path, registry),
        embedder=options.embedder,
        reranker=options.reranker,
    )
    made = calibrate_itself(delegator, written_samples(path), options.target_precision)
    print(f"{made.samples} samples, each held out: {made.right:.1%} find their agent")
    number = round(made.assigned * made.samples)
    rightly = ""
    if made.precision is not None:
        rightly = f", {round(made.precision * number)} of these {number} rightly"
    print(f"{made.assigned:.1%} would be assigned{rightly}")
    print(f"{made.near_assigned:.1%} would be assigned if their agent were missing")
    if options.out is not None:
        manifest = self_calibrated_manifest(delegator, made, read_manifest(find(options.program)))
        save(delegator, Path(options.out), manifest)
        tell(f"wrote {options.out}; use it with --program {options.out}")
    return 0
