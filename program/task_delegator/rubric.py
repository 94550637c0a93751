"""RateConfidence: the LM's own confidence in a choice, on a described scale."""

from collections.abc import Sequence

import dspy
from dspy.utils.exceptions import AdapterParseError

from .agents import Agent
from .classify import agent_line, asking
from .signatures import RateAssignment
from .untrusted import one_line


class RateConfidence(dspy.Module):
    """Ask for a rating from 1 to 5 with the reasoning before it."""

    def __init__(self) -> None:
        super().__init__()
        self.rate = dspy.ChainOfThought(RateAssignment)
        self._adapter = dspy.JSONAdapter()

    def forward(self, task: str, agents: Sequence[Agent]) -> dspy.Prediction:
        """Return ``rubric``, 1..5, or None where no rating could be read.

        Args:
            task: the task in plain words.
            agents: the chosen agent, then its rivals.

        Raises:
            LMError: the LM cannot be reached or refuses.
        """
        chosen, *rivals = [agent_line(agent) for agent in agents]
        try:
            with asking(self._adapter):
                answer = self.rate(task=one_line(task), agent=chosen, rivals="\n".join(rivals))
        except AdapterParseError:
            return dspy.Prediction(rubric=None)
        return dspy.Prediction(rubric=answer.rubric)
