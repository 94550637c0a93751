"""Commands on a compiled program: calibrate, plans, joint, promote."""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # imported when needed: --help is not to wait for them
    from optimize.data import Dataset
    from task_delegator.delegator import Delegator


def calibrate(options: argparse.Namespace) -> int:
    """Fit a program's confidence to another registry."""
    from optimize.calibration import calibrate, fit_split
    from optimize.pipeline import provenance
    from task_delegator.artifact import save

    dataset, program, manifest = _opened(options)
    calibration = calibrate(program, dataset, options.target_precision)
    fit_split(program, dataset)
    record = {
        **provenance(dataset),
        "embedder": manifest["embedder"],
        "knobs": asdict(program.knobs.values),
        "calibration": calibration.to_json(),
        "calibrated_from": manifest,  # its scores and lessons are those of another registry
    }
    save(program, Path(options.out), record)
    print(json.dumps(asdict(calibration.promise), indent=1))
    print(f"program: {options.out}", file=sys.stderr)
    return 0


def plans(options: argparse.Namespace) -> int:
    """Fit when a program splits a task."""
    from optimize.calibration import evaluate_plans, fit_split
    from optimize.pipeline import provenance
    from task_delegator.artifact import save

    dataset, program, manifest = _opened(options)
    fit_split(program, dataset)
    chosen_on = evaluate_plans(program, dataset.multi["validation"], dataset.splits["validation"])
    fitted = {"fitted": provenance(dataset), "validation": asdict(chosen_on)}
    record = manifest | {"knobs": asdict(program.knobs.values), "plans": fitted}
    save(program, Path(options.out), record)
    print(json.dumps(asdict(chosen_on), indent=1))
    print(f"program: {options.out}", file=sys.stderr)
    return 0


def joint(options: argparse.Namespace) -> int:
    """Search the whole program at once, with the LM in it."""
    from optimize.joint import Scope
    from optimize.pipeline import Improvement, improve, summary
    from optimize.search import Place
    from task_delegator.errors import InputError
    from task_delegator.lm import language_model

    if options.no_lm:
        raise InputError("joint weighs accuracy against LM tokens: leave out --no-lm")
    dataset, program, manifest = _opened(options)
    scope = Scope(
        place=Place(options.study, options.storage),
        trials=options.trials,
        optimizers=tuple(options.optimizers),
        most_tokens=options.max_tokens,
        most_calls=options.max_lm_calls,
        seed=options.seed,
    )
    done: Improvement = improve(
        options.program, program, manifest, dataset, language_model(options.lm), scope,
        Path(options.out),
    )  # fmt: skip
    print(done.table())
    print(summary(done.reports))
    for split, versus in done.versus.items():
        print(f"{split}: {versus.sentence()}")
    print(f"program: {options.out}", file=sys.stderr)
    return 0


def _opened(options: argparse.Namespace) -> "tuple[Dataset, Delegator, dict[str, Any]]":
    """Return the dataset, the program over its registry and the program's manifest."""
    from optimize.data import load_dataset
    from task_delegator.artifact import check_target, find, load, read_manifest

    check_target(Path(options.out))
    dataset = load_dataset(options.data, enriched=options.enriched)
    program = load(options.program, dataset.registry)
    return dataset, program, read_manifest(find(options.program))


def promote(options: argparse.Namespace) -> int:
    """Make a program champion if it beats the present one; 1 where it does not."""
    from optimize.data import load_dataset
    from optimize.tracking import Models, promote, roll_back
    from task_delegator.errors import InputError
    from task_delegator.lm import language_model

    if options.rollback == (options.source is not None):
        raise InputError("give either a program to promote or --rollback")
    if options.rollback:
        done = roll_back(Models(options.name))
    else:
        dataset = load_dataset(options.data, enriched=options.enriched)
        lm = None if options.no_lm else language_model(options.lm)
        done = promote(options.source, dataset, Models(options.name), lm, options.force)
    if done.versus is not None:
        print(done.versus.sentence(), file=sys.stderr)
    if not done.promoted:
        print(f"not promoted: version {done.version} stays champion; --force overrides")
        return 1
    print(f"champion: models:/{done.name}@champion is version {done.version}")
    return 0
