"""Delegate tasks in plain words to the right agent of a registry."""

from .agents import Agent, Registry
from .artifact import load
from .delegation import Candidate, Delegation, Usage
from .delegator import Delegator
from .errors import DelegatorError, InputError, LMError, ProgramError
from .lm import language_model

__all__ = [
    "Agent",
    "Candidate",
    "Delegation",
    "Delegator",
    "DelegatorError",
    "InputError",
    "LMError",
    "ProgramError",
    "Registry",
    "Usage",
    "language_model",
    "load",
]
