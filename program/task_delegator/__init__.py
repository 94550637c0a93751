"""Delegate tasks in plain words to the right agent of a registry.

The public names are loaded when they are first used (PEP 562): importing the package, or one
of its light modules, does not wait for DSPy.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .artifact import load
    from .delegation import Candidate, Delegation, Plan, Step, Usage
    from .delegator import Delegator
    from .errors import (
        DelegatorError,
        EmbedderError,
        InputError,
        LMError,
        ProgramError,
        RerankerError,
    )
    from .lm import language_model
    from .registry import Agent, Registry, Tool, enrich

__all__ = [
    "Agent",
    "Candidate",
    "Delegation",
    "Delegator",
    "DelegatorError",
    "EmbedderError",
    "InputError",
    "LMError",
    "Plan",
    "ProgramError",
    "Registry",
    "RerankerError",
    "Step",
    "Tool",
    "Usage",
    "enrich",
    "language_model",
    "load",
]

# ONNX Runtime counts its users from its import on: a device's id on the disk, events to its maker.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

_MODULES = {
    "artifact": ("load",),
    "delegation": ("Candidate", "Delegation", "Plan", "Step", "Usage"),
    "delegator": ("Delegator",),
    "errors": (
        *("DelegatorError", "EmbedderError", "InputError"),
        *("LMError", "ProgramError", "RerankerError"),
    ),
    "registry": ("Agent", "Registry", "Tool", "enrich"),
    "lm": ("language_model",),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Load a public name from its module.

    Raises:
        AttributeError: the package has no such name.
    """
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_MODULE_OF[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Return the names of the module, those that are not loaded yet among them."""
    return sorted({*globals(), *__all__})
