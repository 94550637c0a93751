"""The command line of the checkout: ``python -m optimize COMMAND``."""

import argparse
import os
import sys
from collections.abc import Sequence

# DSPy would fetch a price list from the network at its first LM call.
os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")

from optimize import make, refit, upkeep
from optimize.arguments import OPTIMIZER_NAMES, at_least
from task_delegator.cli import rate

_COMMANDS = """Make, tune and evaluate delegators.

compile    compile a program for a dataset: search, LM stage, calibration, evaluation; resumable
search     search the retrieval knobs only; resumable with --storage
calibrate  fit a program's confidence to another registry, on labelled requests
joint      search retrieval, expansion, prompt and gate together: accuracy against LM tokens
plans      fit when a program splits a task
evaluate   evaluate a program on one split, or compare two programs on the same requests
promote    make a program the champion in MLflow's registry if it beats the current one
synthesize let an LM write agents and labelled requests for given domains; resumable
enrich     let an LM add details to the agents of a dataset, in a file for review
merge      add recorded outcomes to a dataset
drift      test whether the confidence still agrees with recorded outcomes
finetune   train a LoRA adapter of the embedded LM; takes hours; resumable
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return 0, 2 on bad input, or 3 where LM, embedder or store fail."""
    options = _parser().parse_args(arguments)
    from task_delegator.errors import DelegatorError

    try:
        return options.run(options)
    except DelegatorError as error:
        print(f"optimize {options.command}: {error}", file=sys.stderr)
        return error.exit_code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="optimize", description=_COMMANDS, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    data = argparse.ArgumentParser(add_help=False)
    data.add_argument("--data", default="datasets", help="dataset directory")
    data.add_argument(
        "--no-enrichment",
        dest="enriched",
        action="store_false",
        help="ignore the dataset's enrichment.json",
    )

    seed = argparse.ArgumentParser(add_help=False)
    seed.add_argument("--seed", type=at_least(0), default=0, help="random seed")

    lm = argparse.ArgumentParser(add_help=False)
    lm.add_argument(
        "--lm",
        default=os.environ.get("TASK_DELEGATOR_LM", "embedded"),
        help="LM for low-confidence tasks: embedded, embedded:FILE.gguf or provider/model",
    )
    lm.add_argument("--no-lm", action="store_true", help="use retrieval only")

    embed = os.environ.get("TASK_DELEGATOR_EMBEDDER")

    compile_ = commands.add_parser("compile", parents=[data, seed, lm], help="compile a program")
    compile_.add_argument("--preset", choices=("quick", "full"), default="quick",
        help="number of trials and LM calls",
    )  # fmt: skip
    compile_.add_argument(
        "--optimizer",
        choices=OPTIMIZER_NAMES,
        default="bootstrap",
        help="optimizer of the LM's prompt",
    )
    compile_.add_argument(
        "--teacher",
        metavar="SPEC",
        help="LM that writes instructions and demos; the program's LM by default",
    )
    compile_.add_argument(
        "--trials", type=at_least(1), help="trials of the search; set by the preset by default"
    )
    compile_.add_argument(
        "--max-lm-calls",
        type=at_least(0),
        help="limit for the LM stage (evaluation not included); 0 disables it",
    )
    compile_.add_argument(
        "--samples-from-train",
        type=at_least(0),
        default=0,
        metavar="N",
        help="store N train requests per agent in the program, as further samples",
    )
    compile_.add_argument(
        "--target-precision",
        type=rate,
        default=0.95,
        help="target precision of assigned tasks, 0 to 1",
    )
    compile_.add_argument("--embedder", default=embed or "minilm", help="embedder spec")
    compile_.add_argument(
        "--traces",
        type=at_least(0),
        default=3,
        metavar="N",
        help="number of validation requests to trace",
    )
    compile_.add_argument(
        "--trace-texts", action="store_true", help="include texts and prompts in the traces"
    )
    compile_.add_argument("--out", default="runs/program", help="output folder")
    compile_.set_defaults(run=make.compile_)

    search = commands.add_parser(
        "search", parents=[data, seed], help="search the retrieval knobs only"
    )
    search.add_argument("--trials", type=at_least(1), default=60, help="total trials of the study")
    search.add_argument("--study", default="retrieval", help="name of the study")
    search.add_argument("--storage", help="Optuna storage URL; in memory by default")
    search.add_argument("--embedder", default=embed or "minilm", help="embedder spec")
    search.set_defaults(run=make.search)

    calibrate = commands.add_parser(
        "calibrate", parents=[data], help="fit a program's confidence to another registry"
    )
    calibrate.add_argument("program", help="a program's name or folder")
    calibrate.add_argument(
        "--target-precision",
        type=rate,
        default=0.95,
        help="target precision of assigned tasks, 0 to 1",
    )
    calibrate.add_argument("--out", default="runs/calibrated", help="output folder")
    calibrate.set_defaults(run=refit.calibrate)

    plans = commands.add_parser("plans", parents=[data], help="fit when a program splits a task")
    plans.add_argument("program", help="a program's name or folder")
    plans.add_argument("--out", default="runs/plans", help="output folder")
    plans.set_defaults(run=refit.plans)

    joint = commands.add_parser(
        "joint", parents=[data, seed, lm], help="search all parts of a program together"
    )
    joint.add_argument("program", nargs="?", default="default", help="program to start from")
    joint.add_argument("--trials", type=at_least(1), default=40, help="total trials of the study")
    joint.add_argument("--study", default="joint", help="name of the study")
    joint.add_argument("--storage", help="Optuna storage URL; next to the output by default")
    joint.add_argument(
        "--optimizers", nargs="*", choices=OPTIMIZER_NAMES, default=["labeled-few-shot"],
        help="optimizers whose prompts are tried, besides the plain prompt",
    )  # fmt: skip
    joint.add_argument(
        "--max-tokens",
        type=float,
        help="limit of LM tokens per task; the only objective is then top-1",
    )
    joint.add_argument("--max-lm-calls", type=at_least(1), default=3000, help="limit of LM calls")
    joint.add_argument("--out", default="runs/joint", help="output folder")
    joint.set_defaults(run=refit.joint)

    evaluate = commands.add_parser(
        "evaluate", parents=[data, seed, lm], help="evaluate a program, or compare two"
    )
    evaluate.add_argument("program", help="a program's name or folder")
    evaluate.add_argument("other", nargs="?", help="second program, to compare with")
    evaluate.add_argument("--split", choices=("train", "validation", "test"), default="test")
    evaluate.add_argument(
        "--limit", type=at_least(1), help="evaluate a random subset of this size, fixed by the seed"
    )
    evaluate.add_argument("--gate-open", action="store_true", help="ask the LM about every task")
    evaluate.add_argument(
        "--embedder", default=embed, help="embedder spec; the program's by default"
    )
    evaluate.add_argument(
        "--json", help="write the report as JSON to a file, or to standard output with -"
    )
    evaluate.set_defaults(run=make.evaluate)

    promote = commands.add_parser(
        "promote",
        parents=[data, lm],
        help="make a program the champion if it beats the current one",
    )
    promote.add_argument(
        "source", nargs="?", help="a program's name or folder, or an MLflow run id"
    )
    promote.add_argument("--name", default="delegator", help="name of the registered model")
    promote.add_argument(
        "--force", action="store_true", help="promote whatever the comparison says"
    )
    promote.add_argument("--rollback", action="store_true", help="restore the previous champion")
    promote.set_defaults(run=refit.promote)

    enrich = commands.add_parser(
        "enrich", parents=[data, lm], help="let an LM add details to the agents of a dataset"
    )
    enrich.add_argument("--number", type=at_least(1), default=8, help="requests to write per agent")
    enrich.add_argument(
        "--max-lm-calls",
        type=at_least(1),
        help="agents to write for in this run; all by default",
    )
    enrich.add_argument("--embedder", default=embed or "minilm", help="embedder spec")
    enrich.add_argument("--out", default="runs/enrichment.json", help="output file, for review")
    enrich.set_defaults(run=upkeep.enrich)

    synthesize = commands.add_parser(
        "synthesize", parents=[seed, lm], help="let an LM write a dataset for given domains"
    )
    synthesize.add_argument(
        "--domains", nargs="*", default=(), metavar="DOMAIN", help='such as "accounts payable"'
    )
    synthesize.add_argument(
        "--agents", type=at_least(0), default=8, help="agents per domain, at least 2"
    )
    synthesize.add_argument("--requests", type=at_least(0), default=10, help="requests per agent")
    synthesize.add_argument(
        "--max-lm-calls",
        type=at_least(0),
        help="limit over all runs with the same output; three times the need by default",
    )
    synthesize.add_argument("--embedder", default=embed or "minilm", help="embedder spec")
    synthesize.add_argument("--out", default="runs/synthetic", help="output dataset directory")
    synthesize.set_defaults(run=upkeep.synthesize)

    merge = commands.add_parser("merge", parents=[data], help="add recorded outcomes to a dataset")
    merge.add_argument("log", help="feedback file, JSONL")
    merge.add_argument("--split", default="train", help="train or validation")
    merge.set_defaults(run=upkeep.merge)

    drift = commands.add_parser(
        "drift", help="test whether the confidence agrees with recorded outcomes"
    )
    drift.add_argument("log", help="feedback file, JSONL")
    drift.set_defaults(run=upkeep.drift)

    tune = commands.add_parser(
        "finetune", parents=[seed], help="train a LoRA adapter of the embedded LM"
    )
    tune.add_argument("what", choices=("lm",))
    tune.add_argument(
        "--train", nargs="+", metavar="DIR", required=True, help="datasets to train on"
    )
    tune.add_argument(
        "--keep-out", nargs="+", metavar="DIR", default=["datasets"],
        help="held-out datasets, to evaluate on",
    )  # fmt: skip
    tune.add_argument(
        "--program", default="default", help="program whose retriever makes the shortlists"
    )
    tune.add_argument("--examples", type=at_least(1), default=4000, help="shortlists to train on")
    tune.add_argument("--every", type=at_least(1), default=400, help="examples between evaluations")
    tune.add_argument("--rank", type=at_least(1), default=16, help="rank of the adapter")
    tune.add_argument("--threads", type=at_least(1), default=2, help="compute threads")
    tune.add_argument(
        "--out", default="runs/finetune", help="output folder; a stopped run continues there"
    )
    tune.add_argument(
        "--install", metavar="DIR", help="copy adapter and manifest to DIR at the end"
    )
    tune.set_defaults(run=upkeep.finetune)
    return parser


if __name__ == "__main__":
    sys.exit(main())
