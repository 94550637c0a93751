"""ExpandQuery: ask the LM for rephrasings and HyDE texts to retrieve beside the task."""

from typing import TYPE_CHECKING, Any

import dspy

from ..knobs import KnobValues
from ..lm import BoundedJSONAdapter
from ..prediction import FrozenPrediction
from ..signatures import DescribeIdealAgent, RephraseTask
from ..text import fold, one_line
from .coroutines import run_to_end
from .prompting import aask


class Expansion(FrozenPrediction):
    """Texts that ask for the same as a task.

    Attributes:
        texts: each once, none that repeats the task.
        calls: LM calls that they took.
    """

    texts: tuple[str, ...] = ()
    calls: int = 0


class ExpandQuery(dspy.Module):
    """Write phrasings of a task (Query2doc, Wang et al., 2023) and its ideal agent (HyDE,
    Gao et al., 2023); which of them and how many is up to the knobs.
    """

    def __init__(self) -> None:
        super().__init__()
        self.rephrase = dspy.Predict(RephraseTask)
        self.describe = dspy.Predict(DescribeIdealAgent)
        self._adapter = BoundedJSONAdapter()

    def forward(self, task: str, knobs: KnobValues) -> Expansion:
        """Return other texts, none where the knobs turn it off or no answer could be read.

        Raises:
            LMError: the LM cannot be reached or refuses.
        """
        return run_to_end(self.aforward(task, knobs))

    async def aforward(self, task: str, knobs: KnobValues) -> Expansion:
        """Return what ``forward`` does."""
        texts: list[str] = []
        calls = 0
        if knobs.expansion.phrasings:
            calls += 1
            number = knobs.expansion.phrasings
            answer = await self.aask(self.rephrase, task=one_line(task), number=number)
            texts += answer.phrasings[:number] if answer else []
        if knobs.expansion.hyde:
            calls += 1
            answer = await self.aask(self.describe, task=one_line(task))
            texts += [answer.description] if answer else []
        own = fold(task)
        kept = [t for t in texts if t.strip() and fold(t) != own]
        return Expansion(texts=tuple(dict.fromkeys(kept)), calls=calls)

    if TYPE_CHECKING:  # DSPy types a module's call as a plain Prediction

        def __call__(self, *args: Any, **kwargs: Any) -> Expansion:
            """Return what ``forward`` does."""
            ...

    async def aask(self, predict: dspy.Predict, **inputs: Any) -> Any:
        """Return the prediction, None where its answer could not be read."""
        # An expansion is a help, not a need: the task itself is still there.
        return await aask(predict, self._adapter, **inputs)
