"""``finetune``: train a LoRA adapter of the embedded LM, an encoder or a reranker."""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from optimize.cli.common import Commands, Parents, print_json
from task_delegator.cli import whole_number

if TYPE_CHECKING:
    from optimize.data import Dataset
    from task_delegator.embedders import Embedder


def add_parser(commands: Commands, parents: Parents) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "finetune", help="train a LoRA adapter of the embedded LM, an encoder or a reranker",
        parents=[parents.seed],
    )  # fmt: skip
    parser.add_argument("what", choices=("lm", "encoder", "reranker"))
    parser.add_argument(
        "--train", nargs="+", metavar="DIR", required=True,
        help="datasets to train on; for an encoder also folders of agents alone, and files of many "
        "small registries (.jsonl)",
    )  # fmt: skip
    parser.add_argument(
        "--keep-out", nargs="*", metavar="DIR", default=["datasets"],
        help="held-out datasets, to evaluate on; an encoder or a reranker may do without",
    )  # fmt: skip
    parser.add_argument(
        "--program", default="default",
        help="program whose retriever makes shortlists for an LM; of a reranker its embedder alone",
    )  # fmt: skip
    parser.add_argument(
        "--examples", type=whole_number(1),
        help="shortlists (4000), batches of an encoder (1000) or of a reranker (300), to train on",
    )  # fmt: skip
    parser.add_argument(
        "--every",
        type=whole_number(1),
        help="examples between evaluations (400, of an encoder 100, of a reranker 100)",
    )
    parser.add_argument(
        "--adapted",
        action="store_true",
        help="train an encoder or a reranker for its one registry alone",
    )
    parser.add_argument(
        "--teacher",
        metavar="SPEC",
        help="embedder whose similarities an encoder learns beside the labels (mpnet, of an "
        "adapted one none); '' for none",
    )
    parser.add_argument("--rank", type=whole_number(1), default=16, help="rank of the LM's adapter")
    parser.add_argument("--threads", type=whole_number(1), default=2, help="compute threads")
    parser.add_argument(
        "--out", default="runs/finetune", help="output folder; a stopped run continues there"
    )
    parser.add_argument("--install", metavar="DIR", help="copy what ships to DIR at the end")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Fine-tune the embedded LM, an encoder or a reranker."""
    commands = {"lm": _finetune_lm, "encoder": _finetune_encoder, "reranker": _finetune_reranker}
    return commands[options.what](options)


def _finetune_encoder(options: argparse.Namespace) -> int:
    """Fine-tune an encoder on pairs of labeled registries."""
    from optimize.finetune import ADAPTED, BASE_SPEC, EncoderRecipe
    from optimize.finetune.encoder.train import EncoderConfig, finetune_encoder, install_encoder
    from task_delegator.embedders import embedder

    recipe = replace(ADAPTED if options.adapted else EncoderRecipe(), **_given(options))
    if options.teacher is not None:
        recipe = replace(recipe, teacher=options.teacher)
    config = EncoderConfig(Path(options.out), recipe, options.threads)
    manifest = finetune_encoder(*_sources(options), embedder(BASE_SPEC), config)
    if options.install:
        install_encoder(config.out, Path(options.install))
    shown = {key: manifest[key] for key in ("steps", "minutes", "curve", "least_cosine")}
    print_json({"embedder": f"encoder:{options.out}", **shown})
    return 0


def _finetune_reranker(options: argparse.Namespace) -> int:
    """Fine-tune a reranker on shortlists of labeled registries."""
    from optimize.finetune import ADAPTED_RERANKER, RerankerRecipe
    from optimize.finetune.reranker.train import (
        RerankerConfig,
        finetune_reranker,
        install_reranker,
    )

    recipe = replace(ADAPTED_RERANKER if options.adapted else RerankerRecipe(), **_given(options))
    config = RerankerConfig(Path(options.out), recipe, options.threads)
    manifest = finetune_reranker(*_sources(options), _embedder(options), config)
    if options.install:
        install_reranker(config.out, Path(options.install))
    shown = {key: manifest[key] for key in ("steps", "minutes", "curve", "export_error")}
    print_json({"reranker": options.out, **shown})
    return 0


def _given(options: argparse.Namespace) -> dict[str, int]:
    """Return the parts of a recipe that the command line sets."""
    given = {"seed": options.seed, "steps": options.examples, "every": options.every}
    return {name: value for name, value in given.items() if value is not None}


def _sources(options: argparse.Namespace) -> "tuple[list[Dataset], list[Dataset]]":
    """Return what is trained on and what is kept out."""
    from optimize.finetune import load_sources

    train, kept_out = (
        [source for path in paths for source in load_sources(Path(path))]
        for paths in (options.train, options.keep_out)
    )
    return train, kept_out


def _embedder(options: argparse.Namespace) -> "Embedder":
    """Return the embedder of a program."""
    from task_delegator.artifact import find, read_manifest
    from task_delegator.embedders import embedder

    return embedder(read_manifest(find(options.program))["embedder"]["spec"])


def _finetune_lm(options: argparse.Namespace) -> int:
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
    recipe = Recipe(rank=options.rank, examples=options.examples or 4000, seed=options.seed)
    config = TrainingConfig(
        out=Path(options.out),
        base=packaged(),
        recipe=recipe,
        every=options.every or 400,
        threads=options.threads,
    )
    embed = program.retrieve.library.embed
    manifest = finetune(train, held_out, program.knobs.values, embed, config)
    if options.install:
        install(config.out, Path(options.install))
    exported = manifest["course"][choose_checkpoint(manifest["course"])]
    print_json({"adapter": str(config.out / ADAPTER), "best": exported})
    return 0
