"""What several commands share: options, and opening a program with its dataset."""

import argparse
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from optimize.cli.arguments import at_least

if TYPE_CHECKING:
    from optimize.data import Dataset
    from task_delegator.delegator import Delegator

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


@dataclass(frozen=True, slots=True)
class Parents:
    """Options that several commands take.

    Attributes:
        data, seed, lm: parsers to inherit from.
        embedder: spec of the environment, None where it names none.
    """

    data: argparse.ArgumentParser
    seed: argparse.ArgumentParser
    lm: argparse.ArgumentParser
    embedder: str | None


def shared_options() -> Parents:
    """Return the options that several commands take."""
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
        help="LM for low-confidence tasks: embedded, embedded:FILE.gguf, provider/model or "
        "recorded:FOLDER",
    )
    lm.add_argument("--no-lm", action="store_true", help="use retrieval only")
    return Parents(data, seed, lm, os.environ.get("TASK_DELEGATOR_EMBEDDER"))


def open_program(options: argparse.Namespace) -> "tuple[Dataset, Delegator, dict[str, Any]]":
    """Return the dataset, the program over its registry and the program's manifest."""
    from optimize.data import load_dataset
    from task_delegator.artifact import check_target, find, load, read_manifest

    check_target(Path(options.out))
    dataset = load_dataset(options.data, enriched=options.enriched)
    program = load(
        options.program,
        dataset.registry,
        embedder=os.environ.get("TASK_DELEGATOR_EMBEDDER") or None,
    )
    return dataset, program, read_manifest(find(options.program))
