"""``merge``: add recorded feedback to a dataset."""

import argparse
from dataclasses import asdict
from typing import TYPE_CHECKING

from optimize.cli.common import Commands, Parents, print_json
from task_delegator.cli.options import tell
from task_delegator.errors import InputError

if TYPE_CHECKING:
    from optimize.tracking import Answers


def add_parser(commands: Commands, parents: Parents) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "merge", parents=[parents.folder], help="add recorded outcomes to a dataset"
    )
    parser.add_argument("log", nargs="?", help="feedback file, JSONL")
    parser.add_argument(
        "--assessments",
        action="store_true",
        help="also add what persons said of traces in MLflow (MLFLOW_TRACKING_URI)",
    )
    parser.add_argument(
        "--decisions",
        metavar="FILE",
        help="the service's log of decisions, which holds the texts of those traces",
    )
    parser.add_argument("--split", default="train", help="train or validation")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Add recorded outcomes to a dataset."""
    from optimize.data import load_dataset, merge_rows, most_of_an_agent
    from task_delegator.feedback import read_feedback

    if options.log is None and not options.assessments:
        raise InputError("there is nothing to merge: give a feedback file, or --assessments")
    if options.decisions and not options.assessments:
        raise InputError("--decisions holds the texts of traces: give --assessments too")
    rows = [] if options.log is None else list(read_feedback(options.log))
    counts = {}
    if options.assessments:
        answers = _answers(options)
        rows += answers.feedback
        counts = {"assessments": asdict(answers) | {"feedback": len(answers.feedback)}}
    merged = merge_rows(rows, options.data, options.split)
    if merged.out_of_scope and options.split == "train":
        tell(
            f"what is for nobody ({merged.out_of_scope}) went to train, of which no confidence is "
            "fitted: with --split validation it counts"
        )
    if merged.added and options.split == "train":
        tell(
            f"what was added for agents ({merged.added}) went to train, of which compile takes "
            "starting weights alone: with --samples-from-train "
            f"{most_of_an_agent(load_dataset(options.data))} all of it counts as samples"
        )
    print_json(asdict(merged) | counts)
    return 0


def _answers(options: argparse.Namespace) -> "Answers":
    """Return what persons said of traces."""
    from optimize.data import load_dataset
    from optimize.tracking import read_answers
    from task_delegator.tracing import read_decisions

    registry = load_dataset(options.data, enriched=False).registry
    return read_answers(registry, read_decisions(options.decisions) if options.decisions else {})
