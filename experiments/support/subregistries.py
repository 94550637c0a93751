"""Random sub-registries of a size, each agent in at least a given number of them."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace

from optimize.data import Request
from task_delegator.registry import Agent


def draw_subregistries(
    agents: Sequence[Agent], size: int, number: int, family: bool
) -> Iterator[list[Agent]]:
    """Yield registries of ``size`` agents; each agent is in at least ``number`` of them.

    Args:
        family: whole domains at a time, so that look-alikes are together.
    """
    for seed in range(number):
        shuffled = list(agents)
        random.Random(seed).shuffle(shuffled)
        if family:
            domains = sorted({agent.domain for agent in agents})
            random.Random(seed).shuffle(domains)
            shuffled.sort(key=lambda agent: domains.index(agent.domain))
        for start in range(0, len(shuffled), size):
            window = shuffled[start : start + size]
            yield window + shuffled[: size - len(window)]  # the last goes round


def keep_requests(requests: Sequence[Request], names: Sequence[str]) -> dict[Request, Request]:
    """Return the requests whose expected agent is among these, with what else is acceptable."""
    return {
        request: replace(request, acceptable=tuple(n for n in request.acceptable if n in names))
        for request in requests
        if request.expected in names
    }
