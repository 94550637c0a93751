"""Count LM calls, tokens and seconds of a block of code."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from time import perf_counter
from typing import Any

import dspy
import numpy as np
from dspy.utils.usage_tracker import UsageTracker

from task_delegator.delegation import Usage, total_tokens


class CountedUsage:
    """Hold what was spent, once it is known.

    Attributes:
        usage: answered LM calls, tokens, seconds.
    """

    usage = Usage()


class _Tracker(UsageTracker):
    """Add up what an optimizer's threads use too: DSPy gives each a copy, which it forgets."""

    def __deepcopy__(self, memo: dict[int, Any]) -> "_Tracker":
        return self


@contextmanager
def count_usage() -> Iterator[CountedUsage]:
    """Yield an object whose ``usage`` is set when the block ends, also on error.

    As ``dspy.track_usage``, which does not see threads; a tracker around it is told at the end.
    """
    found, tracker, started = CountedUsage(), _Tracker(), perf_counter()
    around = dspy.settings.usage_tracker
    try:
        with dspy.context(usage_tracker=tracker):
            yield found
    finally:
        calls = sum(map(len, tracker.usage_data.values()))
        found.usage = Usage(calls, total_tokens(tracker), perf_counter() - started)
        if around is not None:
            for lm, entries in tracker.usage_data.items():
                around.usage_data[lm].extend(entries)


def per_task(usages: Sequence[Usage], share: float = 1.0) -> dict[str, float]:
    """Return the mean cost of a task, nothing where there was none.

    Args:
        usages: per task, or once for all of them.
        share: of one entry that is a task's.
    """
    if not usages:
        return {}
    return {
        "lm_calls_per_task": share * float(np.mean([each.lm_calls for each in usages])),
        "tokens_per_task": share * float(np.mean([each.tokens for each in usages])),
        "seconds_per_task": share * float(np.mean([each.seconds for each in usages])),
    }
