"""``evaluate``: evaluate a program, or compare two."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optimize.cli.common import (
    Commands,
    Parents,
    optional_lm,
    out_of_scope_share,
    refuse_both,
    refuse_no_lm,
)
from task_delegator.cli import add_calibrate, add_lm_share, whole_number
from task_delegator.errors import InputError
from task_delegator.system import write_text
from task_delegator.text import printable

if TYPE_CHECKING:
    from optimize.data import Dataset
    from optimize.evaluation import PairedComparison, Report
    from task_delegator.delegator import Delegator
    from task_delegator.rerankers import Reranker


def add_parser(commands: Commands, parents: Parents) -> None:
    """Add the command to the parser.

    Long because it lists every option of the command.
    """
    parser = commands.add_parser(
        "evaluate",
        parents=[parents.data, parents.seed, parents.lm, parents.no_lm],
        help="evaluate a program, or compare two",
    )
    parser.add_argument("program", help="a program's name or folder")
    parser.add_argument("other", nargs="?", help="second program, to compare with")
    parser.add_argument("--split", choices=("train", "validation", "test"), default="test")
    parser.add_argument(
        "--limit",
        type=whole_number(1),
        help="evaluate a random subset of this size, fixed by the seed",
    )
    parser.add_argument(
        "--prompt", action="append", default=[], metavar="URI",
        help="prompt of MLflow's registry to try in place of the program's own, such as "
        "prompts:/delegator.classify.select@champion; may be repeated",
    )  # fmt: skip
    out_of_scope_share(parser)
    add_calibrate(parser)
    add_lm_share(parser)
    parser.add_argument("--gate-open", action="store_true", help="ask the LM about every task")
    parser.add_argument(
        "--embedder",
        action="append",
        default=None,
        help="embedder spec; the program's by default; may be repeated: each of two programs takes "
        "the one that it was compiled with",
    )
    parser.add_argument(
        "--reranker",
        action="append",
        metavar="SPEC",
        help="of a program that was compiled with one: its folder, or st:MODEL; may be repeated: "
        "each of two programs takes the one that it was compiled with; default: "
        "TASK_DELEGATOR_RERANKER, else none",
    )
    parser.add_argument(
        "--json", help="write the report as JSON to a file, or to standard output with -"
    )
    parser.add_argument(
        "--track",
        action="store_true",
        help="write MLflow datasets and an evaluation run for each program (MLFLOW_TRACKING_URI)",
    )
    parser.add_argument(
        "--trace-texts", action="store_true", help="keep the texts of requests in MLflow"
    )
    parser.add_argument(
        "--differing",
        type=whole_number(1),
        metavar="N",
        help="list the first N requests that two programs answer differently",
    )
    here = parents.reranker.get_default("reranker")
    parser.set_defaults(run=run, embedder_here=parents.embedder, reranker_here=here)


def run(options: argparse.Namespace) -> int:
    """Evaluate a program on a split, or compare two."""
    from optimize.data import load_dataset, warn_of_fitted
    from optimize.lm_stage import opened
    from task_delegator.artifact import find, load, read_manifest, written_samples

    _check(options)
    dataset = load_dataset(options.data, enriched=options.enriched)
    itself = options.calibrate == "self"
    written = written_samples(Path(options.data) / "agents.json") if itself else None
    names = [name for name in (options.program, options.other) if name is not None]
    embedders = embedders_of(names, _given(options.embedder, options.embedder_here))
    rerankers = rerankers_of(names, _given(options.reranker, options.reranker_here))
    programs = [
        (
            name,
            load(
                name,
                dataset.registry,
                embedder=embedder,
                calibrate=options.calibrate,
                written=written,
                max_lm_share=options.max_lm_share,
                prompts=options.prompt,
                reranker=reranker,
            ),
        )
        for name, embedder, reranker in zip(names, embedders, rerankers, strict=True)
    ]
    held = [(name, read_manifest(find(name))) for name in names]
    warn_of_fitted(held, dataset, options.split)
    if options.gate_open:
        programs = [(name, opened(program)) for name, program in programs]
    found, differing = _evaluated(options, programs, dataset)
    text = json.dumps(found.to_dict(), indent=1)
    if options.json == "-":
        print(text)
        return 0
    if options.json:
        write_text(Path(options.json), text + "\n")
    print(printable(found.sentence()))
    for line in differing:
        print(printable(line))
    return 0


def embedders_of(programs: Sequence[str], named: Sequence[str]) -> list[str | None]:
    """Return the embedder of each program among those that the caller names; None for its own.

    A program that was compiled with none of them has its own where another program has one of
    them; ``load`` takes its own only where it is packaged.

    Args:
        programs: names or folders.
        named: embedder specs.
    """
    from task_delegator.artifact import find, read_manifest

    if not named:
        return [None] * len(programs)
    specs = [read_manifest(find(name))["embedder"]["spec"] for name in programs]
    rest = None if any(spec in named for spec in specs) else named[0]
    return [spec if spec in named else rest for spec in specs]


def rerankers_of(programs: Sequence[str], named: Sequence[str]) -> "list[str | Reranker | None]":
    """Return the reranker of each program among those that the caller names; None without any.

    One that was compiled with none of several gets the first, which ``load`` refuses where it
    counts.

    Args:
        programs: names or folders.
        named: reranker specs.

    Raises:
        InputError: one of several cannot be used.
    """
    from task_delegator.artifact import find, read_manifest
    from task_delegator.rerankers import reranker

    if len(named) < 2:
        return [next(iter(named), None)] * len(programs)
    opened = [reranker(spec) for spec in named]
    by_id = {one.id: one for one in opened}
    held = [read_manifest(find(name)).get("reranker") for name in programs]
    return [by_id.get(entry["id"], opened[0]) if entry else opened[0] for entry in held]


def _given(named: Sequence[str] | None, here: str | None) -> Sequence[str]:
    """Return the specs of the command line, else that of the environment."""
    return named or ([here] if here else [])


def _check(options: argparse.Namespace) -> None:
    refuse_both(options)
    if options.gate_open:
        refuse_no_lm(options, "--gate-open asks the LM about every task")
    if options.trace_texts and not options.track:
        raise InputError("--trace-texts is about what is tracked: give --track too")
    if options.differing and options.other is None:
        raise InputError("--differing compares two programs: name a second one")


def _evaluated(
    options: argparse.Namespace, programs: "Sequence[tuple[str, Delegator]]", dataset: "Dataset"
) -> "tuple[Report | PairedComparison, list[str]]":
    """Return the report, or the comparison and the requests that differ, tracked if asked for."""
    from optimize.evaluation import (
        answer_all,
        answer_outside,
        compare_outcomes,
        differing_lines,
        evaluate_all,
    )

    lm, split, share = optional_lm(options), options.split, options.out_of_scope_share
    settings: dict[str, Any] = {"lm": lm, "limit": options.limit, "seed": options.seed}
    if len(programs) == 2 and not options.track:
        evaluations, answers = [], answer_all(programs, dataset, split, **settings)
        outside = answer_outside(programs, dataset, split, **settings) if share else [[], []]
    else:
        settings["out_of_scope_share"] = share
        evaluations = [
            (name, evaluate_all(program, dataset, split, name=name, **settings))
            for name, program in programs
        ]
        answers = [(name, evaluated.outcomes) for name, evaluated in evaluations]
        outside = [[found for _, found in evaluated.outside] for _, evaluated in evaluations]
    comparison, lines = None, []
    if len(programs) == 2:
        known = {"outside": outside, "out_of_scope_share": share}
        comparison = compare_outcomes(answers, dataset, split, lm=lm, seed=options.seed, **known)
        lines = differing_lines(answers, options.differing or 0)
    if options.track:
        from optimize.tracking import track_evaluations

        track_evaluations(evaluations, comparison, dataset, split, texts=options.trace_texts)
    return comparison or evaluations[0][1].report, lines
