"""Choices of command-line arguments."""

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
