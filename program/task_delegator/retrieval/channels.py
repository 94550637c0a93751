"""Raw scores of every channel that looks at all agents, and what of agents they could read."""

from dataclasses import dataclass, fields

import numpy as np

CHANNELS = (
    "bm25",
    "chars",
    "description",
    "sample_best",
    "sample_mean",
    "head",
    "maxsim",
    "maxsim_reverse",
)
OF_ALL_AGENTS = CHANNELS[:-2]  # MaxSim compares only the best by the others


@dataclass(frozen=True, slots=True)
class AgentTexts:
    """What each agent says of itself, shape (agents,) each; None where all are alike.

    Attributes:
        passages: whether passages of it were read, bool; None of nobody.
        described: whether it has a description, bool.
        trust: what its samples weigh beside its description, 0..1; None where all weigh 1.
    """

    passages: np.ndarray | None = None
    described: np.ndarray | None = None
    trust: np.ndarray | None = None

    def of(self, places: np.ndarray) -> "AgentTexts":
        """Return the same of the agents in some places."""
        held = (getattr(self, field.name) for field in fields(self))
        return AgentTexts(*(None if own is None else own[places] for own in held))


@dataclass(frozen=True, slots=True)
class Channels:
    """Raw scores of one task against every agent, in name order.

    Attributes:
        bm25, chars, description: shape (agents,).
        sample_best, sample_mean, head: shape (agents,); NaN for agents without samples.
        texts: what the agents say.
        samples: cosines with each sample, agent by agent, shape (samples,); None where unknown.
    """

    bm25: np.ndarray
    chars: np.ndarray
    description: np.ndarray
    sample_best: np.ndarray
    sample_mean: np.ndarray
    head: np.ndarray
    texts: AgentTexts = AgentTexts()
    samples: np.ndarray | None = None
