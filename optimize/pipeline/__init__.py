"""Pipelines of commands: compile a program, improve it by a joint search."""

from optimize.pipeline.compile import compile_program
from optimize.pipeline.improve import Improvement, improve
from optimize.pipeline.manifest import provenance
from optimize.pipeline.summary import lm_gain, lm_left_out, summary, train_use

__all__ = [
    "Improvement",
    "compile_program",
    "improve",
    "lm_gain",
    "lm_left_out",
    "provenance",
    "summary",
    "train_use",
]
