"""What of a delegation may be shown in a trace: numbers, decisions, names of open agents.

Other strings are replaced by their length, unless texts are wanted; other objects by their type.
An agent that needs a permission is shown by a digest of its name: who reads traces may not have it.
"""

from collections.abc import Mapping, Set
from dataclasses import fields, is_dataclass
from typing import Any, get_args

import dspy

from ..delegation import Decision
from ..registry import Agent, Registry
from ..signatures import NONE_SLOT, SLOTS
from ..system import sha256_text

_MOST_SHOWN = 20  # of a sequence or mapping: a registry may have thousands of agents
_WORDS = (*get_args(Decision), *SLOTS, NONE_SLOT)


def shown_names(registry: Registry) -> dict[str, str]:
    """Return how each agent is shown, by name: one that needs a permission as a digest."""
    return {
        agent.name: f"agent-{sha256_text(agent.name)[:12]}"
        if agent.required_permissions
        else agent.name
        for agent in registry
    }


def redact(value: Any, names: Mapping[str, str], texts: bool) -> Any:
    """Return a value as plain JSON, with a note in place of what may be private.

    Args:
        value: inputs or outputs of a call.
        names: how each agent is shown, by name.
        texts: show every string.
    """
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return value if texts or value in _WORDS else names.get(value, _length(value))
    if isinstance(value, Agent):
        return redact(value.name, names, texts)
    if isinstance(value, Mapping | dspy.Prediction):
        return _redact_items(dict(value.items()), names, texts)
    if isinstance(value, list | tuple | Set):
        some = [redact(one, names, texts) for one in list(value)[:_MOST_SHOWN]]
        return some + [f"<{len(value) - _MOST_SHOWN} more>"] * (len(value) > _MOST_SHOWN)
    if is_dataclass(value) and type(value).__module__.startswith("task_delegator."):
        return _redact_items({f.name: getattr(value, f.name) for f in fields(value)}, names, texts)
    return f"<{type(value).__name__}>"


def _redact_items(
    values: Mapping[Any, Any], names: Mapping[str, str], texts: bool
) -> dict[str, Any]:
    items = list(values.items())[:_MOST_SHOWN]
    rest = {"more": f"<{len(values) - _MOST_SHOWN} more>"} if len(values) > _MOST_SHOWN else {}
    return {_redact_key(key, names, texts): redact(v, names, texts) for key, v in items} | rest


def _redact_key(key: Any, names: Mapping[str, str], texts: bool) -> str:
    """Show keys that are names of fields or agents; two notes of the same length become one."""
    text = str(key)
    if texts:
        return text
    return names.get(text, text if text.isidentifier() else _length(text))


def _length(text: str) -> str:
    return f"<{len(text)} characters>"
