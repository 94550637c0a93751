"""Read a rendered prompt: what DSPy's chat, JSON and XML adapters ask, and in which format."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from optimize._compat import Request
from task_delegator.signatures import NONE_SLOT

_FIELD = re.compile(r"^\d+\. `(\w+)` \((.*)$", re.MULTILINE)
_CHAT = re.compile(r"^\[\[ ## (\w+) ## \]\][ \t]*$", re.MULTILINE)
_XML = r"^<{name}>\n(.*?)\n</{name}>$"
_LINE = re.compile(r"^([A-Z])\) (.*)$")
_RESPOND = "\n\nRespond with "
REASONING = "reasoning"

Format = Literal["json", "chat", "xml"]


@dataclass(frozen=True, slots=True)
class Prompt:
    """One question, as it was rendered.

    Attributes:
        inputs: what the last user message holds, by input field.
        outputs: the output fields, in order.
        format: of the answer.
        distribution: a probability per slot is asked for, instead of one slot.
        slots: the letters that the answer may be, as the signature names them.
    """

    inputs: Mapping[str, str]
    outputs: tuple[str, ...]
    format: Format
    distribution: bool
    slots: frozenset[str]

    @property
    def kind(self) -> str:
        """The output fields, without ``reasoning``, joined by ``+``."""
        return "+".join(name for name in self.outputs if name != REASONING)

    @property
    def candidates(self) -> dict[str, str]:
        """The shortlist: a line of an agent by the letter before it."""
        lines = map(_LINE.match, self.inputs.get("candidates", "").splitlines())
        return {match[1]: match[2] for match in lines if match}

    @property
    def none_slot(self) -> str | None:
        """The letter for none of the agents, None where the signature has none."""
        return NONE_SLOT if NONE_SLOT in self.slots else None

    def answer(self, values: Mapping[str, Any]) -> str:
        """Return the output fields in the format that is asked for."""
        if self.format == "json":
            return json.dumps(dict(values), ensure_ascii=False)
        texts = {
            name: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            for name, value in values.items()
        }
        if self.format == "xml":
            return "\n\n".join(f"<{name}>\n{text}\n</{name}>" for name, text in texts.items())
        parts = [f"[[ ## {name} ## ]]\n{text}\n\n" for name, text in texts.items()]
        return "".join([*parts, "[[ ## completed ## ]]"])


def read_prompt(request: Request) -> Prompt | None:
    """Return what a request asks, None where no adapter of DSPy's rendered it."""
    system = system_text(request)
    head, _, rest = system.partition("\nYour output fields are:\n")
    described, marker, structure = rest.partition("\nAll interactions will be structured")
    users = [message.text or "" for message in request.messages if message.role == "user"]
    if not head.startswith("Your input fields are:") or not marker or not users:
        return None
    outputs = dict(_FIELD.findall(described))
    names = [name for name, _ in _FIELD.findall(head)]
    return Prompt(
        inputs=_inputs(users[-1], names),
        outputs=tuple(outputs),
        format=_format(structure),
        distribution=outputs.get("slot", "").startswith("ChoiceEvidence"),
        slots=_slots(outputs.get("slot", ""), described),
    )


def system_text(request: Request) -> str:
    """Return a request's system prompt."""
    system = request.system or ""
    return system if isinstance(system, str) else "".join(getattr(p, "text", "") for p in system)


def _format(structure: str) -> Format:
    if "Outputs will be a JSON object" in structure:
        return "json"
    return "chat" if "[[ ## completed ## ]]" in structure else "xml"


def _slots(kind: str, described: str) -> frozenset[str]:
    """Return the letters of ``Literal['A', ...]``, or the keys of a choice's criteria."""
    if kind.startswith("Literal["):
        return frozenset(re.findall(r"'([A-Z])'", kind.partition("]")[0]))
    return frozenset(re.findall(r'^\s*"([A-Z])": ', described, re.MULTILINE))


def _inputs(user: str, names: list[str]) -> dict[str, str]:
    body = user.rpartition(_RESPOND)[0] or user
    marks = [mark for mark in _CHAT.finditer(body) if mark[1] in names]
    if marks:
        ends = [*(mark.start() for mark in marks[1:]), len(body)]
        return {m[1]: body[m.end() : end].strip() for m, end in zip(marks, ends, strict=True)}
    tagged = ((n, re.search(_XML.format(name=n), body, re.MULTILINE | re.DOTALL)) for n in names)
    return {name: match[1].strip() for name, match in tagged if match}
