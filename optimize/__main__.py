"""The command line of the checkout: ``python -m optimize COMMAND``.

compile    search, teach, calibrate, evaluate and save a program for a dataset
search     search the retrieval knobs alone; resumable
calibrate  fit a program's confidence to another registry's labelled requests
joint      search retrieval, expansion, prompt and gate at once: top-1 against LM tokens
plans      fit when a program splits a task, alone
evaluate   report how a program does on one split, or compare two on the same requests
promote    make a program champion in MLflow's registry, if it beats the present one
synthesize let an LM write agents and labelled requests for named domains; resumable
enrich     let an LM complete the agents of a dataset, into a file to be reviewed
merge      add recorded outcomes to a dataset
drift      say whether recorded outcomes still fit the stated confidence
finetune   train a LoRA adapter of the embedded LM; hours, resumable
"""

import argparse
import os
import sys
from collections.abc import Sequence

# DSPy would fetch a price list from the network at its first LM call.
os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")

from optimize import make, refit, upkeep
from optimize.arguments import OPTIMIZER_NAMES, at_least
from task_delegator.cli import rate


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
        prog="optimize", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    data = argparse.ArgumentParser(add_help=False)
    data.add_argument("--data", default="datasets", help="a dataset directory")
    data.add_argument(
        "--no-enrichment",
        dest="enriched",
        action="store_false",
        help="leave the dataset's enrichment.json aside",
    )

    seed = argparse.ArgumentParser(add_help=False)
    seed.add_argument(
        "--seed", type=at_least(0), default=0, help="of samplers, subsets and shuffles"
    )

    lm = argparse.ArgumentParser(add_help=False)
    lm.add_argument(
        "--lm",
        default=os.environ.get("TASK_DELEGATOR_LM", "embedded"),
        help="embedded, embedded:FILE.gguf or provider/model",
    )
    lm.add_argument("--no-lm", action="store_true", help="retrieval alone")

    embed = os.environ.get("TASK_DELEGATOR_EMBEDDER")

    compile_ = commands.add_parser("compile", parents=[data, seed, lm], help="compile a program")
    compile_.add_argument("--preset", choices=("quick", "full"), default="quick")
    compile_.add_argument(
        "--optimizer", choices=OPTIMIZER_NAMES, default="bootstrap", help="of the LM's prompt"
    )
    compile_.add_argument(
        "--teacher", metavar="SPEC", help="an LM that writes instructions and demos"
    )
    compile_.add_argument(
        "--trials", type=at_least(1), help="of the search; the preset's if not given"
    )
    compile_.add_argument(
        "--max-lm-calls",
        type=at_least(0),
        help="hard limit of the LM stage; the reports at the end come on top; 0 for neither",
    )
    compile_.add_argument(
        "--samples-from-train",
        type=at_least(0),
        default=0,
        metavar="N",
        help="add N train requests to each agent's samples, in the program",
    )
    compile_.add_argument(
        "--target-precision", type=rate, default=0.95, help="of what is assigned, 0 to 1"
    )
    compile_.add_argument("--embedder", default=embed or "minilm", help="an embedder spec")
    compile_.add_argument(
        "--traces", type=at_least(0), default=3, metavar="N", help="validation requests to trace"
    )
    compile_.add_argument(
        "--trace-texts", action="store_true", help="show their texts and prompts in the traces"
    )
    compile_.add_argument("--out", default="runs/program", help="folder of the compiled program")
    compile_.set_defaults(run=make.compile_)

    search = commands.add_parser("search", parents=[data, seed], help="search the retrieval knobs")
    search.add_argument("--trials", type=at_least(1), default=60, help="that the study shall have")
    search.add_argument("--study", default="retrieval", help="its name in the storage")
    search.add_argument("--storage", help="an Optuna storage URL; in memory if not given")
    search.add_argument("--embedder", default=embed or "minilm", help="an embedder spec")
    search.set_defaults(run=make.search)

    calibrate = commands.add_parser(
        "calibrate", parents=[data], help="calibrate a program for a registry"
    )
    calibrate.add_argument("program", help="a program's name or folder")
    calibrate.add_argument(
        "--target-precision", type=rate, default=0.95, help="of what is assigned, 0 to 1"
    )
    calibrate.add_argument("--out", default="runs/calibrated", help="folder of the result")
    calibrate.set_defaults(run=refit.calibrate)

    plans = commands.add_parser("plans", parents=[data], help="fit when to split a task, alone")
    plans.add_argument("program", help="a program's name or folder")
    plans.add_argument("--out", default="runs/plans", help="folder of the result")
    plans.set_defaults(run=refit.plans)

    joint = commands.add_parser(
        "joint", parents=[data, seed, lm], help="search the whole program, with the LM in it"
    )
    joint.add_argument("program", nargs="?", default="default", help="the program to start from")
    joint.add_argument("--trials", type=at_least(1), default=40, help="that the study shall have")
    joint.add_argument("--study", default="joint", help="its name in the storage")
    joint.add_argument("--storage", help="an Optuna storage URL; beside the program if not given")
    joint.add_argument(
        "--optimizers", nargs="*", choices=OPTIMIZER_NAMES, default=["labeled-few-shot"],
        help="whose prompts to try beside the plain one",
    )  # fmt: skip
    joint.add_argument(
        "--max-tokens", type=float, help="of the LM per task; top-1 alone is then the objective"
    )
    joint.add_argument(
        "--max-lm-calls", type=at_least(1), default=3000, help="hard limit of the search"
    )
    joint.add_argument("--out", default="runs/joint", help="folder of the result")
    joint.set_defaults(run=refit.joint)

    evaluate = commands.add_parser(
        "evaluate", parents=[data, seed, lm], help="evaluate a program, or compare two"
    )
    evaluate.add_argument("program", help="a program's name or folder")
    evaluate.add_argument("other", nargs="?", help="another, to compare it with")
    evaluate.add_argument("--split", choices=("train", "validation", "test"), default="test")
    evaluate.add_argument("--limit", type=at_least(1), help="a fixed random subset of this size")
    evaluate.add_argument("--gate-open", action="store_true", help="ask the LM about every task")
    evaluate.add_argument("--embedder", default=embed, help="if not the one the program names")
    evaluate.add_argument("--json", help="write the report to a file, or - for standard output")
    evaluate.set_defaults(run=make.evaluate)

    promote = commands.add_parser(
        "promote", parents=[data, lm], help="make a program champion if it beats the present one"
    )
    promote.add_argument("source", nargs="?", help="a program's name or folder, or a run's id")
    promote.add_argument("--name", default="delegator", help="of the registered model")
    promote.add_argument("--force", action="store_true", help="whatever the comparison says")
    promote.add_argument(
        "--rollback", action="store_true", help="make the previous champion champion again"
    )
    promote.set_defaults(run=refit.promote)

    enrich = commands.add_parser(
        "enrich", parents=[data, lm], help="let an LM complete the agents of a dataset"
    )
    enrich.add_argument("--number", type=at_least(1), default=8, help="of requests per agent")
    enrich.add_argument(
        "--max-lm-calls",
        type=at_least(1),
        help="agents to write for in this run; all if not given",
    )
    enrich.add_argument("--embedder", default=embed or "minilm", help="an embedder spec")
    enrich.add_argument("--out", default="runs/enrichment.json", help="the file to review")
    enrich.set_defaults(run=upkeep.enrich)

    synthesize = commands.add_parser(
        "synthesize", parents=[seed, lm], help="let an LM write a dataset for named domains"
    )
    synthesize.add_argument(
        "--domains", nargs="*", default=(), metavar="DOMAIN", help='such as "accounts payable"'
    )
    synthesize.add_argument("--agents", type=at_least(0), default=8, help="per domain, 2 or more")
    synthesize.add_argument("--requests", type=at_least(0), default=10, help="per agent")
    synthesize.add_argument(
        "--max-lm-calls",
        type=at_least(0),
        help="hard limit over all runs of one output; three times what is needed if not given",
    )
    synthesize.add_argument("--embedder", default=embed or "minilm", help="an embedder spec")
    synthesize.add_argument("--out", default="runs/synthetic", help="the dataset directory")
    synthesize.set_defaults(run=upkeep.synthesize)

    merge = commands.add_parser("merge", parents=[data], help="add recorded outcomes to a dataset")
    merge.add_argument("log", help="a feedback file, JSONL")
    merge.add_argument("--split", default="train", help="train or validation")
    merge.set_defaults(run=upkeep.merge)

    drift = commands.add_parser("drift", help="do recorded outcomes fit the stated confidence?")
    drift.add_argument("log", help="a feedback file, JSONL")
    drift.set_defaults(run=upkeep.drift)

    tune = commands.add_parser(
        "finetune", parents=[seed], help="train a LoRA adapter of the embedded LM"
    )
    tune.add_argument("what", choices=("lm",))
    tune.add_argument(
        "--train", nargs="+", metavar="DIR", required=True, help="dataset directories to train on"
    )
    tune.add_argument(
        "--keep-out", nargs="+", metavar="DIR", default=["datasets"], help="and to evaluate on"
    )
    tune.add_argument("--program", default="default", help="whose retriever draws the shortlists")
    tune.add_argument("--examples", type=at_least(1), default=4000, help="shortlists to train on")
    tune.add_argument("--every", type=at_least(1), default=400, help="examples per evaluation")
    tune.add_argument("--rank", type=at_least(1), default=16, help="of the adapter")
    tune.add_argument("--threads", type=at_least(1), default=2, help="compute threads")
    tune.add_argument("--out", default="runs/finetune", help="folder; a stopped run goes on in it")
    tune.add_argument("--install", metavar="DIR", help="copy adapter and manifest there at the end")
    tune.set_defaults(run=upkeep.finetune)
    return parser


if __name__ == "__main__":
    sys.exit(main())
