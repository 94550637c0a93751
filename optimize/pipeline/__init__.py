"""Compile a program from a dataset: configuration and the steps in order."""

from optimize.pipeline.compile import compile_program, lm_gain, provenance, summary
from optimize.pipeline.improve import Improvement, improve

__all__ = [
    "Improvement",
    "compile_program",
    "improve",
    "lm_gain",
    "provenance",
    "summary",
]
