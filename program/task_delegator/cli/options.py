"""What several commands share: options of a program, and how its parts are read."""

import argparse
import math
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InputError
from ..settings import EMBEDDER, PACKAGED, TIMEOUT, read_timeout
from ..text import printable
from .loading import loading

if TYPE_CHECKING:  # imported when needed: --help is not to wait for them
    from ..delegator import Delegator
    from ..registry import Registry

_MOST_DIGITS = 18  # of a whole number: nobody means more, and Python reads no thousands
_AGENTS = Path("datasets/agents.json")  # the registry of a checkout


def program_options() -> argparse.ArgumentParser:
    """Return the options of every command that loads a program.

    Long because every such option stands here once.
    """
    program = argparse.ArgumentParser(add_help=False)
    program.add_argument(
        "--agents",
        metavar="FILE",
        help=f"the registry: a JSON list of agents, or what import reads; default: {_AGENTS}, if "
        "it exists",
    )
    add_program(program)
    program.add_argument(
        "--permissions",
        metavar="A,B",
        help="permissions of the caller, separated by commas; default: all agents are permitted",
    )
    program.add_argument(
        "--lm",
        metavar="SPEC",
        default=os.environ.get("TASK_DELEGATOR_LM") or None,
        help="LM for tasks of low confidence: embedded, embedded:FILE.gguf or provider/model; "
        "default: TASK_DELEGATOR_LM, else no LM",
    )
    program.add_argument("--no-lm", action="store_true", help="use no LM")
    program.add_argument(
        "--on-lm-failure",
        choices=["degrade", "raise"],
        default="degrade",
        help="if the LM fails: degrade to the decision without it, or raise an error; "
        "default: degrade",
    )
    program.add_argument(
        "--timeout",
        type=seconds,
        metavar="SECONDS",
        default=TIMEOUT,
        help=f"for all LM calls of one task together; none for no limit; default: {TIMEOUT:.0f}",
    )
    program.add_argument(
        "--allow-uncalibrated",
        action="store_true",
        help="assign tasks even if the confidence is not calibrated for this registry",
    )
    add_calibrate(program)
    program.add_argument(
        "--target-precision",
        type=number_in("(0, 1]"),
        metavar="P",
        help="aim at this precision of everything that is assigned, above 0 and at most 1; "
        "default: the one the program was compiled for",
    )
    program.add_argument(
        "--out-of-scope-share",
        type=number_in("[0, 1)"),
        metavar="SHARE",
        help="share of requests that no agent fits, 0 to below 1, at which that precision shall "
        "hold; default: the one the program was compiled for",
    )
    return program


def tell(message: object, name: str = "task-delegator") -> None:
    """Print a message of a command for a person, on one line of standard error."""

    print(f"{name}: {printable(str(message))}", file=sys.stderr)


def add_program(parser: argparse.ArgumentParser) -> None:
    """Add the options that name a program, its models and additions to the agents."""
    parser.add_argument(
        "--enrichment",
        metavar="FILE",
        help="additions to the agents; none for no additions; "
        "default: enrichment.json next to the registry, if it exists",
    )
    parser.add_argument("--program", default="default", help="name or folder of a compiled program")
    parser.add_argument(
        "--embedder",
        metavar="SPEC",
        default=os.environ.get("TASK_DELEGATOR_EMBEDDER") or None,
        help="default: TASK_DELEGATOR_EMBEDDER, else the embedder of the program",
    )
    parser.add_argument(
        "--reranker",
        metavar="SPEC",
        default=os.environ.get("TASK_DELEGATOR_RERANKER") or None,
        help="of a program that was compiled with one: its folder, or st:MODEL; "
        "default: TASK_DELEGATOR_RERANKER, else none",
    )


def check_written(options: argparse.Namespace, written: Iterable[Path], *read: str | None) -> None:
    """Refuse to write to what the same command reads.

    Args:
        options: that name the agents and their additions.
        written: paths that the command writes or appends to.
        read: other files that it reads; None for one that is not named.

    Raises:
        InputError: the first path that is one of them.
    """
    from ..registry import enrichment_next_to

    agents = options.agents or str(_AGENTS)
    sources = [Path(path) for path in (agents, enrichment_next_to(agents), *read) if path]
    for path in written:
        if any(_is_read(path, source) for source in sources):
            raise InputError(f"{path}: is read by this command: name another file to write to")


def _is_read(path: Path, source: Path) -> bool:
    """Tell whether a path is a file that is read, or lies in a folder that is."""
    if path.exists() and source.exists() and path.samefile(source):
        return True
    own, read = Path(os.path.realpath(path)), Path(os.path.realpath(source))
    return own == read or (source.is_dir() and own.is_relative_to(read))


def check_appended(path: Path) -> None:
    """Refuse a file that cannot be appended to: better now than at the first row.

    Raises:
        InputError: it cannot be, or its folder is not there.
    """

    if not path.absolute().parent.is_dir():
        raise InputError(f"{path}: there is no such folder: make it, or name another file")
    if path.is_fifo():  # opening it waits for a reader
        raise InputError(f"{path}: is a pipe: name a file")
    try:
        path.open("ab").close()
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror}") from error


def add_lm_share(parser: argparse.ArgumentParser) -> None:
    """Add the cap on the LM's share of tasks, of commands that delegate many."""
    parser.add_argument(
        "--max-lm-share",
        type=number_in("[0, 1]"),
        metavar="SHARE",
        help="share of the tasks, 0 to 1, that the LM is asked about at most; those below the "
        "gate beyond it are delegated without it; default: no cap",
    )


def add_calibrate(parser: argparse.ArgumentParser) -> None:
    """Add the option for agents that the program was not calibrated for."""
    parser.add_argument(
        "--calibrate",
        choices=["self", "transfer"],
        help="self: calibrate the confidence on the agents' own samples, without labeled requests; "
        "transfer: decide by what other registries showed, which needs no samples; with "
        "either, an LM decides what would be reviewed",
    )


def load_program(options: argparse.Namespace) -> "Delegator":
    """Return the program that the options name, with its agents."""
    wanted = options.embedder or EMBEDDER
    with loading(wanted if wanted in PACKAGED else None):
        from ..artifact import load, written_samples

        path, registry = read_registry(options)
        return load(
            options.program,
            enriched(options, path, registry),
            lm=None if options.no_lm else options.lm,
            embedder=options.embedder,
            reranker=options.reranker,
            allow_uncalibrated=options.allow_uncalibrated,
            calibrate=options.calibrate,
            written=written_samples(path) if options.calibrate == "self" else None,
            target_precision=options.target_precision,
            out_of_scope_share=options.out_of_scope_share,
            on_lm_failure=options.on_lm_failure,
            timeout=options.timeout,
            max_lm_share=getattr(options, "max_lm_share", None),
        )


def enriched(options: argparse.Namespace, path: Path, registry: "Registry") -> "Registry":
    """Return the agents with the additions that the options name, or that lie beside them."""
    from ..registry import enrich, enrichment_next_to

    additions = options.enrichment
    if additions is None and (additions := enrichment_next_to(path)):
        tell(f"{additions} is applied to the agents; --enrichment none leaves it out")
    return registry if additions in (None, "none") else enrich(registry, additions)


def read_registry(options: argparse.Namespace) -> "tuple[Path, Registry]":
    """Return the file of agents that the options name, and its agents.

    Raises:
        InputError: none is named, or it cannot be used.
    """
    from ..registry import Registry

    path = agents_file(options)
    return path, Registry.load(path)


def agents_file(options: argparse.Namespace) -> Path:
    """Return the file of agents that the options name.

    Raises:
        InputError: none is named.
    """

    if options.agents is None and not _AGENTS.is_file():
        raise InputError("--agents is missing: name a JSON file of agents")
    return Path(options.agents or _AGENTS)


def permissions_of(options: argparse.Namespace) -> frozenset[str] | None:
    """Return the permissions that the options name; None for no limits."""
    if options.permissions is None:
        return None
    return names_in(options.permissions)


def names_in(text: str) -> frozenset[str]:
    """Return names that commas part."""
    return frozenset(name.strip() for name in text.split(",") if name.strip())


def seconds(text: str) -> float | None:
    """Return a positive number of seconds, None for ``none``."""
    try:
        return read_timeout(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def number_in(interval: str) -> Callable[[str], float]:
    """Return what reads a number of an interval, such as "(0, 1]"."""
    low, high = map(float, interval[1:-1].split(","))

    def read(text: str) -> float:
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        left_out = [end for end, mark in ((low, interval[0]), (high, interval[-1])) if mark in "()"]
        if not low <= number <= high or number in left_out:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number in {interval}")
        return number

    return read


def whole_number(least: int, most: int | None = None) -> Callable[[str], int]:
    """Return what reads a whole number with bounds, of which the lower is 0 or more."""
    wanted = f"of {least} or more" if most is None else f"from {least} to {most}"

    def read(text: str) -> int:
        number = int(text) if text.isdecimal() and len(text) <= _MOST_DIGITS else -1
        if not least <= number <= (number if most is None else most):
            raise argparse.ArgumentTypeError(f"{text!r:.20} is no whole number {wanted}")
        return number

    return read
