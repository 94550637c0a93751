"""What several commands share: options, reading a dataset, program and LM, saving a program."""

import argparse
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from task_delegator.cli import number_in, whole_number
from task_delegator.errors import InputError

if TYPE_CHECKING:
    import dspy

    from optimize.data import Dataset
    from task_delegator.delegator import Delegator

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


@dataclass(frozen=True, slots=True)
class Parents:
    """Options that several commands take.

    Attributes:
        folder, data, seed, lm: parsers to inherit from; ``data`` has the options of ``folder``.
        no_lm: parser to inherit from, of a command that works without an LM as well.
        embedder: spec of the environment, None where it names none.
        reranker: parser to inherit from.
    """

    folder: argparse.ArgumentParser
    data: argparse.ArgumentParser
    seed: argparse.ArgumentParser
    lm: argparse.ArgumentParser
    no_lm: argparse.ArgumentParser
    embedder: str | None
    reranker: argparse.ArgumentParser


def shared_options() -> Parents:
    """Return the options that several commands take."""
    folder = argparse.ArgumentParser(add_help=False)
    folder.add_argument("--data", default="datasets", help="dataset directory")
    data = argparse.ArgumentParser(add_help=False, parents=[folder])
    data.add_argument(
        "--no-enrichment",
        dest="enriched",
        action="store_false",
        help="ignore the dataset's enrichment.json",
    )
    seed = argparse.ArgumentParser(add_help=False)
    seed.add_argument("--seed", type=whole_number(0), default=0, help="random seed")
    lm = argparse.ArgumentParser(add_help=False)
    lm.set_defaults(lm_named=False)
    lm.add_argument(
        "--lm",
        action=_NamedLM,
        default=os.environ.get("TASK_DELEGATOR_LM", "embedded"),
        help="LM for low-confidence tasks: embedded, embedded:FILE.gguf, provider/model or "
        "recorded:FOLDER",
    )
    no_lm = argparse.ArgumentParser(add_help=False)
    no_lm.add_argument("--no-lm", action="store_true", help="use retrieval only")
    reranker = argparse.ArgumentParser(add_help=False)
    reranker.add_argument(
        "--reranker",
        metavar="SPEC",
        default=os.environ.get("TASK_DELEGATOR_RERANKER") or None,
        help="reads the best agents of each task, before any LM: the folder of one that was "
        "fine-tuned, or st:MODEL",
    )
    embedder = os.environ.get("TASK_DELEGATOR_EMBEDDER")
    return Parents(folder, data, seed, lm, no_lm, embedder, reranker)


class _NamedLM(argparse.Action):
    """Store the LM, and that the command line named it and not the environment."""

    def __call__(self, parser: Any, namespace: argparse.Namespace, values: Any, *_: Any) -> None:
        setattr(namespace, self.dest, values)
        namespace.lm_named = True


def out_of_scope_share(parser: argparse.ArgumentParser) -> None:
    """Add the option of the traffic that a precision of everything assigned is for."""
    parser.add_argument(
        "--out-of-scope-share",
        type=number_in("[0, 1)"),
        default=0.2,
        metavar="SHARE",
        help="share of out-of-scope requests, 0 to below 1, at which the precision of everything "
        "assigned is stated",
    )


def optional_lm(options: argparse.Namespace) -> "dspy.BaseLM | None":
    """Return the LM of ``--lm``, None with ``--no-lm``.

    Raises:
        LMSpecError: the spec names no LM that can be used here.
    """
    from optimize.recorded import language_model

    return None if options.no_lm else language_model(options.lm)


def refuse_both(options: argparse.Namespace) -> None:
    """Refuse a command line that names an LM and wants none.

    Raises:
        InputError: ``--lm`` and ``--no-lm`` were given.
    """
    if options.no_lm and options.lm_named:
        raise InputError("--lm names an LM and --no-lm wants none: leave out one of the two")


def refuse_no_lm(options: argparse.Namespace, reason: str) -> None:
    """Refuse ``--no-lm`` for a command that asks an LM.

    Args:
        reason: why the command asks one; the message begins with it.

    Raises:
        InputError: ``--no-lm`` was given.
    """
    if options.no_lm:
        raise InputError(f"{reason}: leave out --no-lm")


def print_json(value: Any) -> None:
    """Print a result on standard output as indented JSON, in ASCII: no terminal obeys it."""
    print(json.dumps(value, indent=1))


def save_program(program: "Delegator", out: str, manifest: Mapping[str, Any]) -> None:
    """Save a program and name its folder on standard error."""
    from task_delegator.artifact import save

    save(program, Path(out), dict(manifest))
    print(f"program: {out}", file=sys.stderr)


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
        reranker=options.reranker,
    )
    return dataset, program, read_manifest(find(options.program))
