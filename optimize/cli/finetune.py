"""``finetune``: train a LoRA adapter of the embedded LM."""

import argparse
from pathlib import Path

from optimize.cli.arguments import at_least
from optimize.cli.common import Commands, Parents, print_json


def add_parser(commands: Commands, parents: Parents) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "finetune", parents=[parents.seed], help="train a LoRA adapter of the embedded LM"
    )
    parser.add_argument("what", choices=("lm",))
    parser.add_argument(
        "--train", nargs="+", metavar="DIR", required=True, help="datasets to train on"
    )
    parser.add_argument(
        "--keep-out", nargs="+", metavar="DIR", default=["datasets"],
        help="held-out datasets, to evaluate on",
    )  # fmt: skip
    parser.add_argument(
        "--program", default="default", help="program whose retriever makes the shortlists"
    )
    parser.add_argument("--examples", type=at_least(1), default=4000, help="shortlists to train on")
    parser.add_argument(
        "--every", type=at_least(1), default=400, help="examples between evaluations"
    )
    parser.add_argument("--rank", type=at_least(1), default=16, help="rank of the adapter")
    parser.add_argument("--threads", type=at_least(1), default=2, help="compute threads")
    parser.add_argument(
        "--out", default="runs/finetune", help="output folder; a stopped run continues there"
    )
    parser.add_argument(
        "--install", metavar="DIR", help="copy adapter and manifest to DIR at the end"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Fine-tune the embedded LM on shortlists of labeled registries."""
    from optimize.data import load_dataset
    from optimize.finetune import choose_checkpoint
    from optimize.finetune.lora import Recipe
    from optimize.finetune.train import TrainingConfig, finetune, install
    from task_delegator.artifact import find, load
    from task_delegator.lm import ADAPTER, packaged

    train = [load_dataset(path) for path in options.train]
    held_out = [load_dataset(path) for path in options.keep_out]
    program = load(find(options.program), held_out[0].registry)
    recipe = Recipe(rank=options.rank, examples=options.examples, seed=options.seed)
    config = TrainingConfig(
        out=Path(options.out),
        base=packaged(),
        recipe=recipe,
        every=options.every,
        threads=options.threads,
    )
    embed = program.retrieve.library.embed
    manifest = finetune(train, held_out, program.knobs.values, embed, config)
    if options.install:
        install(config.out, Path(options.install))
    exported = manifest["course"][choose_checkpoint(manifest["course"])]
    print_json({"adapter": str(config.out / ADAPTER), "best": exported})
    return 0
