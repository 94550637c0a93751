"""The command line of the checkout: ``python -m optimize COMMAND``."""

import argparse
import sys
from collections.abc import Sequence

from optimize.cli import (
    calibrate,
    compile,
    drift,
    enrich,
    evaluate,
    finetune,
    joint,
    merge,
    plans,
    promote,
    search,
    synthesize,
    transfer,
)
from optimize.cli.common import shared_options
from task_delegator.cli import run_to_exit_code

_COMMANDS = """Make, tune and evaluate delegators.

compile    compile a program for a dataset: search, LM stage, calibration, evaluation; resumable
search     search the retrieval knobs only; resumable with --storage
calibrate  fit a program's confidence to another registry, on labeled requests
transfer   fit a confidence for registries that a program was not calibrated for
joint      search retrieval, expansion, prompt and gate together: accuracy against LM tokens
plans      fit when a program splits a task
evaluate   evaluate a program on one split, or compare two programs on the same requests
promote    make a program the champion in MLflow's registry if it beats the current one
synthesize let an LM write agents and labeled requests for given domains; resumable
enrich     let an LM add details to the agents of a dataset, in a file for review
merge      add recorded outcomes to a dataset
drift      test whether the confidence still agrees with recorded outcomes
finetune   train a LoRA adapter of the embedded LM (hours), an encoder or a reranker; resumable
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its code, 2 on bad input, or 3 where LM, embedder or store fail.

    Who stops it with Ctrl-C gets 130, as from a shell.
    """
    options = parser().parse_args(arguments)
    return run_to_exit_code(f"optimize {options.command}", lambda: options.run(options))


def parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    whole = argparse.ArgumentParser(
        prog="optimize", description=_COMMANDS, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = whole.add_subparsers(dest="command", required=True, metavar="COMMAND")
    parents = shared_options()
    for command in (
        compile, search, calibrate, transfer, joint, plans, evaluate,
        promote, synthesize, enrich, merge, drift, finetune,
    ):  # fmt: skip
        command.add_parser(commands, parents)
    return whole


if __name__ == "__main__":
    sys.exit(main())
