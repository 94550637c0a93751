"""RateConfidence: ask the LM to rate a choice on a described scale."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import dspy

from ..lm import BoundedJSONAdapter
from ..prediction import FrozenPrediction
from ..registry import Agent
from ..signatures import RateAssignment
from ..text import one_line
from .cards import agent_line
from .coroutines import run_to_end
from .prompting import aask


class Rating(FrozenPrediction):
    """The LM's own confidence, 1..5; None where no rating could be read."""

    rubric: int | None


class RateConfidence(dspy.Module):
    """Ask for a rating from 1 to 5 with the reasoning before it."""

    def __init__(self) -> None:
        super().__init__()
        self.rate = dspy.ChainOfThought(RateAssignment)
        self._adapter = BoundedJSONAdapter()

    def forward(
        self, task: str, agents: Sequence[Agent], hidden: frozenset[str] = frozenset()
    ) -> Rating:
        """Return the rating of a choice.

        Args:
            task: the task in plain words.
            agents: the chosen agent, then its rivals.
            hidden: as in ``Shortlist``.

        Raises:
            LMError: the LM cannot be reached or refuses.
        """
        return run_to_end(self.aforward(task, agents, hidden))

    async def aforward(
        self, task: str, agents: Sequence[Agent], hidden: frozenset[str] = frozenset()
    ) -> Rating:
        """Return what ``forward`` does."""
        chosen, *rivals = [agent_line(agent) for agent in agents]
        shown = {"task": one_line(task), "agent": chosen, "rivals": "\n".join(rivals)}
        answer = await aask(self.rate, self._adapter, hidden, **shown)
        said = None if answer is None else answer.rubric
        # JSON's true and 5.0 pass for numbers of the scale.
        return Rating(rubric=None if said is None or isinstance(said, bool) else int(said))

    if TYPE_CHECKING:  # DSPy types a module's call as a plain Prediction

        def __call__(self, *args: Any, **kwargs: Any) -> Rating:
            """Return what ``forward`` does."""
            ...
