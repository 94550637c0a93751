"""What the LM sees of a shortlist: a card per agent, within a budget of tokens."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Literal

from ..registry import Agent, readable, tool_names
from ..signatures import SLOTS
from ..text import one_line

Card = Literal["brief", "standard", "full"]

_BYTES_PER_TOKEN = 3  # of UTF-8; English text has four, so that the estimate errs upward
_BRIEF_DESCRIPTION, _BRIEF_SAMPLE, _BRIEF_SAMPLES = 150, 70, 2  # characters, characters, number
_STANDARD_DESCRIPTION, _STANDARD_USE, _STANDARD_SAMPLE, _STANDARD_SAMPLES = 400, 200, 150, 3
_FULL_DESCRIPTION, _FULL_TOOLS, _FULL_INSTRUCTIONS, _FULL_SAMPLE = 1000, 400, 1500, 300
_FEWEST = 2  # agents that are shown whatever their cards cost

NearestSamples = Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class Shortlist:
    """Agents as the LM is shown them.

    Attributes:
        agents: in the order of the slots.
        card: how much of each is shown.
        samples: sample requests by agent, those closest to the task first; agents that are
            left out show their own in the registry's order.
        card_tokens: tokens that one full card may take; None for all that it has.
        left_out: names of agents that did not fit into the budget, or had no slot.
        hidden: names of agents that the caller may not use, as a prompt shows them: demos that
            hold one are left out.
    """

    agents: tuple[Agent, ...]
    card: Card = "brief"
    samples: NearestSamples = field(default_factory=dict, hash=False)
    card_tokens: int | None = None
    left_out: tuple[str, ...] = ()
    hidden: frozenset[str] = frozenset()

    def text(self) -> str:
        """Return the shortlist as it stands in the prompt, one line per agent."""
        lines = zip(SLOTS, map(self._line, self.agents), strict=False)
        return "\n".join(f"{slot}) {line}" for slot, line in lines)

    def in_reverse(self) -> "Shortlist":
        """Return the same agents in the opposite order."""
        return replace(self, agents=self.agents[::-1])

    def within(self, tokens: int) -> "Shortlist":
        """Return the shortlist without the last agents that do not fit into a budget.

        Full cards share the budget evenly; two agents are kept whatever they cost.

        Args:
            tokens: that the text may take, as ``estimate_tokens`` counts.
        """
        share = max(tokens // max(len(self.agents), 1), 1)
        shown = replace(self, card_tokens=share)
        costs = [estimate_tokens(shown._line(agent)) + 4 for agent in self.agents]
        number = len(costs)
        while number > _FEWEST and sum(costs[:number]) > tokens:
            number -= 1
        left_out = (*(agent.name for agent in self.agents[number:]), *self.left_out)
        return replace(shown, agents=self.agents[:number], left_out=left_out)

    def _line(self, agent: Agent) -> str:
        samples = self.samples.get(agent.name, agent.user_request_samples)
        if self.card == "brief":
            return agent_line(agent, samples)
        if self.card == "standard":
            return _standard_line(agent, samples)
        return _full_line(agent, samples, self.card_tokens)


def estimate_tokens(text: str) -> int:
    """Return an upper estimate of a text's tokens, for any tokenizer: a third of its bytes.

    Byte-pair vocabularies of today's LMs take some four bytes of English, and two to three of
    other scripts, to a token.
    """
    return math.ceil(len(text.encode("utf-8", "surrogatepass")) / _BYTES_PER_TOKEN)


def agent_line(agent: Agent, samples: Sequence[str] | None = None) -> str:
    """Return a brief card: name, description, when not to use it, two samples."""
    asked = agent.user_request_samples if samples is None else samples
    parts = [
        one_line(readable(agent.name)),
        _cut(agent.description, _BRIEF_DESCRIPTION),
        _cut(agent.do_not_use_when, _BRIEF_SAMPLE),
        "; ".join(_cut(sample, _BRIEF_SAMPLE) for sample in asked[:_BRIEF_SAMPLES]),
    ]
    return " - ".join(part for part in parts if part)


def _standard_line(agent: Agent, samples: Sequence[str]) -> str:
    return _joined(
        agent,
        [
            ("", _cut(agent.description, _STANDARD_DESCRIPTION)),
            ("Use: ", _cut(agent.use_when, _STANDARD_USE)),
            ("Not: ", _cut(agent.do_not_use_when, _STANDARD_USE)),
        ],
        [_cut(sample, _STANDARD_SAMPLE) for sample in samples[:_STANDARD_SAMPLES]],
    )


def _full_line(agent: Agent, samples: Sequence[str], tokens: int | None) -> str:
    parts = [
        ("", _cut(agent.description, _FULL_DESCRIPTION)),
        ("Use: ", _cut(agent.use_when, _STANDARD_USE)),
        ("Not: ", _cut(agent.do_not_use_when, _STANDARD_USE)),
        ("Tools: ", _cut(", ".join(tool_names(agent)), _FULL_TOOLS)),
        ("Instructions: ", _cut(agent.instructions, _FULL_INSTRUCTIONS)),
    ]
    shown = [_cut(sample, _FULL_SAMPLE) for sample in samples]
    line = _joined(agent, parts, shown)
    if tokens is None:
        return line
    while shown and estimate_tokens(line) > tokens:
        shown.pop()
        line = _joined(agent, parts, shown)
    return _shortened(line, max(tokens * _BYTES_PER_TOKEN, _BRIEF_DESCRIPTION))


def _joined(agent: Agent, parts: Sequence[tuple[str, str]], samples: Sequence[str]) -> str:
    said = [f"{label}{text}" for label, text in parts if text]
    examples = [f"Examples: {'; '.join(samples)}"] if samples else []
    return " - ".join([one_line(readable(agent.name)), *said, *examples])


@lru_cache(maxsize=2**12)  # texts of agents, which stand in one prompt after the other
def _cut(text: str, limit: int) -> str:
    return _shortened(text, limit)


def _shortened(text: str, limit: int) -> str:
    line = one_line(text)
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"
