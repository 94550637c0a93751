"""A large LM whose answers were recorded once: ``recorded:<folder>`` for the commands and tests.

The folder holds one JSONL file per data set; ``rows`` says what a row is, ``spec`` which options
it takes.
"""

from optimize.recorded.language_models import language_model, recorded_lm
from optimize.recorded.rows import Belief, RecordedFile, fold, read_folder
from optimize.recorded.spec import RecordedSpec, check_spec

__all__ = [
    "Belief",
    "RecordedFile",
    "RecordedSpec",
    "check_spec",
    "fold",
    "language_model",
    "read_folder",
    "recorded_lm",
]
