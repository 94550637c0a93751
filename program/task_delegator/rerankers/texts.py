"""What a reranker sees of an agent."""

from collections.abc import Sequence

from ..registry import Agent, readable
from ..text import one_line

SAMPLES = 2  # of an agent, those closest to the task
_SAMPLE, _DESCRIPTION = 120, 240  # characters


def agent_text(agent: Agent, samples: Sequence[str]) -> str:
    """Return an agent's name, the samples closest to the task, and its description, in one line.

    The end is cut off where a reranker takes fewer tokens.

    Args:
        samples: of the agent, closest first.
    """
    parts = [readable(agent.name), *(sample[:_SAMPLE] for sample in samples[:SAMPLES])]
    return one_line(" | ".join([*parts, agent.description[:_DESCRIPTION]]).removesuffix(" | "))
