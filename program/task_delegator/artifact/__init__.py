"""Compiled programs as folders: saved, checked and loaded."""

from .prompt_text import prompt_texts
from .state import MANIFEST, ValidationScores
from .store import AGENTS, PROGRAM, check_target, find, load, read_manifest, save

__all__ = [
    "AGENTS",
    "MANIFEST",
    "PROGRAM",
    "ValidationScores",
    "check_target",
    "find",
    "load",
    "prompt_texts",
    "read_manifest",
    "save",
]
