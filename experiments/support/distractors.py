"""Registries extended with distractor agents, up to 10,000.

Distractors are real tools and servers (MCP registries, Seal-Tools, ToolAlpaca, APIBench, BFCL)
and the agents of the public intent sets. The latter have real sample requests; for the others
samples are made from their descriptions by template (``has_real_samples`` tells which).
"""

import random
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from experiments.support.public_data import ROOT
from task_delegator.embedders import Embedder, Encoded
from task_delegator.errors import InputError
from task_delegator.registry import Agent, Registry, description_text, name_key
from task_delegator.retrieval import Index
from task_delegator.system import read_json

_PUBLIC = ("banking77", "clinc150", "hwu64", "healthcare_routing")
_SAMPLES = 5  # as ours have
_WORDS = 14  # of a description's clause in a synthesized request
_FRAMES = (
    "Can you {}?",
    "Please {}.",
    "I need someone to {}",
    "We have to {} by tomorrow, who does that?",
    "Could somebody {} for me",
)


class Remembering:
    """Encode each text once: the same requests are asked of many registries."""

    def __init__(self, inner: Embedder) -> None:
        self._inner, self._known = inner, dict[str, Encoded]()
        self.id, self.languages = inner.id, inner.languages

    def encode(self, texts: Sequence[str]) -> list[Encoded]:
        """Return what the inner embedder returns."""
        new = list(dict.fromkeys(text for text in texts if text not in self._known))
        self._known |= dict(zip(new, self._inner.encode(new), strict=True))
        return [self._known[text] for text in texts]


def draw_distractors(taken: Registry, seed: int) -> list[Agent]:
    """Return the distractors with samples, those with real ones first, else in random order.

    Raises:
        InputError: the data is not there.
    """
    if not (ROOT / "distractors").is_dir():
        raise InputError(f"{ROOT / 'distractors'}: no such data; set TASK_DELEGATOR_PUBLIC_DATA")
    real = [a for name in _PUBLIC for a in Registry.load(ROOT / name / "agents.json")]
    rows = read_json(ROOT / "distractors" / "agents.json")
    others = [Agent.model_validate(row | {"tools": _tool_names(row)}) for row in rows]
    random.Random(seed).shuffle(real)
    random.Random(seed).shuffle(others)
    made = [a.model_copy(update={"user_request_samples": synthesize_samples(a)}) for a in others]
    known = {name_key(agent.name) for agent in taken}
    distractors = []
    for agent in (*real, *made):
        if (key := name_key(agent.name)) not in known:
            known.add(key)
            few = agent.user_request_samples[:_SAMPLES]
            distractors.append(agent.model_copy(update={"user_request_samples": few}))
    return distractors


def has_real_samples(agent: Agent) -> bool:
    """Tell whether a distractor's samples are requests that people made, not templates."""
    samples = agent.user_request_samples
    return bool(samples) and samples != synthesize_samples(agent)


def synthesize_samples(agent: Agent) -> tuple[str, ...]:
    """Return sample requests made from an agent's description by template."""
    clauses = [c.strip() for c in re.split(r"[.;:,]\s+|\n", agent.description) if c.strip()]
    clauses = [c for c in clauses if len(c.split()) >= 3] or [agent.description or agent.name]
    phrases = [_imperative(clause) for clause in clauses]
    return tuple(
        frame.format(phrases[number % len(phrases)]) for number, frame in enumerate(_FRAMES)
    )


def without_samples(agents: Sequence[Agent]) -> list[Agent]:
    """Return the agents with their samples withheld."""
    return [agent.model_copy(update={"user_request_samples": ()}) for agent in agents]


def index_of(agents: Sequence[Agent], embed: Embedder, known: dict[str, Encoded]) -> Index:
    """Return the agents' index; what it encodes is added to the texts that are known."""
    index = Index(agents, embed, known)
    known |= index.encodings
    return index


def look_alikes(
    ours: Sequence[Agent],
    distractors: Sequence[Agent],
    embed: Embedder,
    known: Mapping[str, Encoded],
) -> set[str]:
    """Return the distractors that are nearer to one of our agents than its own family.

    Nearness is the cosine of descriptions; an agent's family is its domain.
    """
    vectors = np.stack([_vector(agent, embed, known) for agent in ours])
    others = np.stack([_vector(agent, embed, known) for agent in distractors])
    same = np.array([[a.domain == b.domain and a.name != b.name for b in ours] for a in ours])
    family = np.where(same, vectors @ vectors.T, -1.0).max(axis=1)
    near = (others @ vectors.T > family).any(axis=1)
    return {agent.name for agent, close in zip(distractors, near, strict=True) if close}


def _vector(agent: Agent, embed: Embedder, known: Mapping[str, Encoded]) -> np.ndarray:
    text = description_text(agent)
    return (known[text] if text in known else embed.encode([text])[0]).vector


def _tool_names(row: dict[str, Any]) -> list[str]:
    return [tool["name"] if isinstance(tool, dict) else tool for tool in row.get("tools", [])]


def _imperative(clause: str) -> str:
    """Return a clause as what somebody should do: 'Provides x' becomes 'provide x'."""
    first, *rest = clause.split()[:_WORDS]
    verb = first[:-1] if first.endswith("s") and not first.endswith("ss") else first
    return " ".join([verb[:1].lower() + verb[1:], *rest]).rstrip(".,;:")
