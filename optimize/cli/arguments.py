"""Types and choices of command-line arguments."""

import argparse
from collections.abc import Callable

# The keys of ``optimizers.OPTIMIZERS``, which imports DSPy: --help is not to wait for it.
OPTIMIZER_NAMES = (
    "labeled-few-shot",
    "bootstrap",
    "bootstrap-random-search",
    "bootstrap-optuna",
    "infer-rules",
    "better-together",
    "copro",
    "mipro",
    "simba",
    "gepa",
)


def at_least(least: int) -> Callable[[str], int]:
    """Return a type for whole numbers with a lower bound."""

    def integer(text: str) -> int:
        if not text.lstrip("-").isdigit() or int(text) < least:
            raise argparse.ArgumentTypeError(f"{text!r} is no whole number of at least {least}")
        return int(text)

    return integer
