"""Compile a program from a dataset: configuration and the steps in order."""

from optimize.pipeline.compile import compile_program, summary
from optimize.pipeline.improve import Improvement, improve
from optimize.pipeline.manifest import provenance

__all__ = [
    "Improvement",
    "compile_program",
    "improve",
    "provenance",
    "summary",
]
