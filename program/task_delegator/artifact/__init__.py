"""Compiled programs as folders: saved, checked, loaded, calibrated on their agents' samples."""

from .prompt_text import prompt_texts
from .self_calibration import calibrate_itself, self_calibrated_manifest, written_samples
from .state import MANIFEST, ValidationScores, read_target
from .store import AGENTS, PROGRAM, SHIPPED, check_target, find, load, read_manifest, save

__all__ = [
    "AGENTS",
    "MANIFEST",
    "PROGRAM",
    "SHIPPED",
    "ValidationScores",
    "calibrate_itself",
    "check_target",
    "find",
    "load",
    "prompt_texts",
    "read_manifest",
    "read_target",
    "save",
    "self_calibrated_manifest",
    "written_samples",
]
