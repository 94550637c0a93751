"""What of a delegation may be shown in a trace: numbers, decisions, names of open agents.

Other strings are replaced by their length, unless texts are wanted; other objects by their type.
An agent that needs a permission is shown by a digest of its name: who reads traces may not have it.
"""

from collections.abc import Iterator, Mapping, Set
from dataclasses import fields, is_dataclass
from functools import lru_cache
from typing import Any, get_args

import dspy

from ..delegation import Decision
from ..registry import NAME_CHARACTERS, Agent, Registry
from ..signatures import NONE_SLOT, SLOTS
from ..system import sha256_text

_MOST_SHOWN = 20  # of a sequence or mapping: a registry may have thousands of agents
_WORDS = (*get_args(Decision), *SLOTS, NONE_SLOT)


def shown_names(registry: Registry) -> dict[str, str]:
    """Return how each agent is shown, by name: one that needs a permission as a digest."""
    return {agent.name: _shown(agent) for agent in registry}


def shown_name(registry: Registry, name: str) -> str | None:
    """Return how an agent is shown, None where there is none."""
    return _shown(registry[name]) if name in registry else None


class LiveNames(Mapping[str, str]):
    """How agents are shown, by name, while the registry changes.

    An agent that comes meanwhile is known, one that goes stays known, and one that needed a
    permission before or needs one now is a digest.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry, self._before = registry, shown_names(registry)

    def __getitem__(self, name: str) -> str:
        """Return how an agent is shown; raise ``KeyError`` if there was and is none."""
        before = self._before.get(name)
        if len(name) > NAME_CHARACTERS or before not in (None, name):
            return self._before[name]
        try:
            return _shown(self._registry[name])
        except KeyError:
            return self._before[name]

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names of before and of now."""
        return iter({**self._before, **shown_names(self._registry)})

    def __len__(self) -> int:
        """Return how many there are."""
        return sum(1 for _ in self)


def _shown(agent: Agent) -> str:
    return _digest(agent.name) if agent.required_permissions else agent.name


@lru_cache(maxsize=2**15)  # all names are shown for each task
def _digest(name: str) -> str:
    return f"agent-{sha256_text(name)[:12]}"


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
