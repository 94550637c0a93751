"""Delegate tasks in plain words to the right agent of a registry."""

from .agents import Agent, Registry
from .artifact import load
from .delegation import Candidate, Delegation, Plan, Step, Usage
from .delegator import Delegator
from .enrichment import enrich
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
    "Plan",
    "ProgramError",
    "Registry",
    "Step",
    "Usage",
    "enrich",
    "language_model",
    "load",
]
