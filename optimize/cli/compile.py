"""``compile``: compile a program for a dataset."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from optimize.cli.arguments import OPTIMIZER_NAMES
from optimize.cli.common import (
    Commands,
    Parents,
    optional_lm,
    out_of_scope_share,
    refuse_both,
)
from task_delegator.cli import number_in, whole_number
from task_delegator.errors import InputError
from task_delegator.settings import EMBEDDER

if TYPE_CHECKING:  # imported when needed: --help is not to wait for it
    from optimize.config import Options
    from optimize.data import Dataset


def add_parser(commands: Commands, parents: Parents) -> None:
    """Add the command to the parser.

    Long because it lists every option of the command.
    """
    parser = commands.add_parser(
        "compile",
        parents=[parents.data, parents.seed, parents.lm, parents.no_lm, parents.reranker],
        help="compile a program",
    )
    parser.add_argument("--preset", choices=("quick", "full"), default="quick",
        help="number of trials and LM calls",
    )  # fmt: skip
    parser.add_argument(
        "--optimizer",
        choices=(*OPTIMIZER_NAMES, "none"),
        default="bootstrap",
        help="optimizer of the LM's prompt; none leaves it as it is",
    )
    parser.add_argument(
        "--teacher",
        metavar="SPEC",
        help="LM that writes instructions and demos; the program's LM by default",
    )
    parser.add_argument(
        "--trials", type=whole_number(1), help="trials of the search; set by the preset by default"
    )
    parser.add_argument(
        "--max-lm-calls",
        type=whole_number(0),
        help="limit for the LM stage (evaluation not included); 0 disables it",
    )
    parser.add_argument(
        "--samples-from-train",
        type=whole_number(0),
        default=0,
        metavar="N",
        help="store N train requests per agent in the program, as further samples",
    )
    parser.add_argument(
        "--target-precision",
        type=number_in("(0, 1]"),
        default=0.95,
        help="target precision of everything that is assigned, 0 to 1",
    )
    out_of_scope_share(parser)
    parser.add_argument(
        "--delta",
        type=number_in("(0, 1)"),
        default=0.1,
        help="probability of missing the target precision that is accepted, 0 to 1",
    )
    parser.add_argument(
        "--ask-share",
        type=number_in("(0, 1]"),
        default=0.4,
        metavar="SHARE",
        help="share of the tasks that the LM is asked about at most, 0 to 1",
    )
    parser.add_argument("--embedder", default=parents.embedder or EMBEDDER, help="embedder spec")
    parser.add_argument(
        "--adapt-encoder",
        action="store_true",
        help="fine-tune MiniLM on the dataset's samples and train requests first, "
        "into OUT-encoder (minutes; extras encoder and finetune)",
    )
    parser.add_argument(
        "--traces",
        type=whole_number(0),
        default=3,
        metavar="N",
        help="number of validation requests to trace",
    )
    parser.add_argument(
        "--trace-texts", action="store_true", help="include texts and prompts in the traces"
    )
    parser.add_argument("--out", default="runs/program", help="output folder")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Compile a program for a dataset."""
    from optimize.data import load_dataset
    from optimize.pipeline import compile_program, lm_gain, lm_left_out, summary, train_use
    from optimize.recorded import language_model
    from task_delegator.artifact import check_target

    refuse_both(options)
    check_target(Path(options.out))
    dataset = load_dataset(options.data, enriched=options.enriched)
    teacher = language_model(options.teacher) if options.teacher else None
    if options.adapt_encoder:
        _adapt_encoder(options, dataset)
    compiled = compile_program(dataset, compile_options(options), optional_lm(options), teacher)
    print(summary(compiled.reports))
    if compiled.reranking is not None:
        print(compiled.reranking.sentence())
    for line in (*lm_gain(compiled.reports), *lm_left_out(compiled.lm_stage)):
        print(line)
    print(train_use(dataset, options.samples_from_train), file=sys.stderr)
    print(f"program: {compiled.folder}", file=sys.stderr)
    print(f"MLflow run: {compiled.run_id} (make ui)", file=sys.stderr)
    return 0


def _adapt_encoder(options: argparse.Namespace, dataset: "Dataset") -> None:
    """Let the program embed with an encoder that is fine-tuned on its dataset."""
    from task_delegator.embedders import PACKAGED

    if options.embedder not in PACKAGED:
        raise InputError(
            f"--adapt-encoder makes the embedder: leave out --embedder {options.embedder}"
        )
    from optimize.finetune.encoder.train import adapt_encoder

    out = Path(f"{Path(options.out)}-encoder")
    options.embedder = adapt_encoder(dataset, out, options.seed)
    print(f"embedder: {options.embedder}", file=sys.stderr)


def compile_options(options: argparse.Namespace) -> "Options":
    """Return what the command line asks of a compilation."""
    from optimize.config import Options

    return Options(
        out=Path(options.out),
        preset=options.preset,
        optimizer=None if options.optimizer == "none" else options.optimizer,
        teacher=options.teacher,
        trials=options.trials,
        max_lm_calls=options.max_lm_calls,
        samples_from_train=options.samples_from_train,
        target_precision=options.target_precision,
        out_of_scope_share=options.out_of_scope_share,
        delta=options.delta,
        ask_share=options.ask_share,
        embedder=options.embedder,
        reranker=options.reranker,
        lm=None if options.no_lm else options.lm,
        seed=options.seed,
        traces=options.traces,
        trace_texts=options.trace_texts,
    )
