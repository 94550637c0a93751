"""``joint``: search retrieval, expansion, prompt and gate together."""

import argparse
import sys
from pathlib import Path

from optimize.cli.arguments import OPTIMIZER_NAMES
from optimize.cli.common import Commands, Parents, open_program
from task_delegator.cli import whole_number
from task_delegator.text import printable


def add_parser(commands: Commands, parents: Parents) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "joint",
        parents=[parents.data, parents.seed, parents.lm, parents.reranker],
        help="search all parts of a program together",
    )
    parser.add_argument("program", nargs="?", default="default", help="program to start from")
    parser.add_argument(
        "--trials", type=whole_number(1), default=40, help="total trials of the study"
    )
    parser.add_argument("--study", default="joint", help="name of the study")
    parser.add_argument(
        "--storage",
        help="where the study is kept: URL of a database, journal:FILE, grpc://HOST:PORT of "
        "Optuna's proxy, or mlflow; next to the output by default",
    )
    parser.add_argument(
        "--artifacts",
        type=Path,
        metavar="FOLDER",
        help="keep a table of the requests of each trial here, for optuna-dashboard",
    )
    parser.add_argument(
        "--optimizers", nargs="*", choices=OPTIMIZER_NAMES, default=["labeled-few-shot"],
        help="optimizers whose prompts are tried, besides the plain prompt",
    )  # fmt: skip
    parser.add_argument(
        "--max-tokens",
        type=float,
        help="limit of LM tokens per task; the only objective is then top-1",
    )
    parser.add_argument(
        "--max-lm-calls", type=whole_number(1), default=3000, help="limit of LM calls"
    )
    parser.add_argument("--out", default="runs/joint", help="output folder")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Search the whole program at once, with the LM in it."""
    from optimize.joint import JointSearchConfig
    from optimize.pipeline import Improvement, improve, summary
    from optimize.recorded import language_model
    from optimize.search import StudyLocation
    from optimize.tracking import study_storage

    dataset, program, manifest = open_program(options)
    config = JointSearchConfig(
        location=StudyLocation(
            options.study, study_storage(options.storage), artifacts=options.artifacts
        ),
        trials=options.trials,
        optimizers=tuple(options.optimizers),
        max_tokens_per_task=options.max_tokens,
        max_lm_calls=options.max_lm_calls,
        seed=options.seed,
    )
    done: Improvement = improve(
        options.program, program, manifest, dataset, language_model(options.lm), config,
        Path(options.out),
    )  # fmt: skip
    print(done.table())
    print(summary(done.reports))
    for split, comparison in done.comparisons.items():
        print(printable(f"{split}: {comparison.sentence()}"))
    print(f"program: {options.out}", file=sys.stderr)
    return 0
