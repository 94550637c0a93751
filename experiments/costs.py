"""What asking language models costs: calls, tokens, seconds."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import dspy
import numpy as np
from dspy.utils.usage_tracker import UsageTracker

from task_delegator.delegation import Usage, total_tokens


@dataclass(slots=True)
class Cost:
    """What was spent so far: LM calls, tokens of prompts and answers, seconds."""

    lm_calls: int = 0
    tokens: int = 0
    seconds: float = 0.0


class _Tracker(UsageTracker):
    """Add up what an optimiser's threads use too: DSPy gives each a copy, which it forgets."""

    def __deepcopy__(self, memo: dict[int, Any]) -> "_Tracker":
        return self


@contextmanager
def counted() -> Iterator[Cost]:
    """Yield a cost that holds, at the end, what was spent inside, however it ended."""
    cost, tracker, started = Cost(), _Tracker(), perf_counter()
    try:
        with dspy.context(usage_tracker=tracker):
            yield cost
    finally:
        cost.lm_calls = sum(map(len, tracker.usage_data.values()))
        cost.tokens = total_tokens(tracker)
        cost.seconds = perf_counter() - started


def per_task(spent: Sequence[Usage | Cost], share: float = 1.0) -> dict[str, float]:
    """Return the mean cost of a task.

    Args:
        spent: per task.
        share: of it that counts.
    """
    return {
        "lm_calls_per_task": share * float(np.mean([each.lm_calls for each in spent])),
        "tokens_per_task": share * float(np.mean([each.tokens for each in spent])),
        "seconds_per_task": share * float(np.mean([each.seconds for each in spent])),
    }
