"""ClassifyAgent: a shortlist to a distribution over its agents and "none of them"."""

from collections.abc import Sequence

import dspy
from dspy.utils.exceptions import AdapterParseError
from dspy.utils.exceptions import LMError as DspyLMError

from .agents import Agent
from .errors import LMError
from .index import readable
from .signatures import NONE_SLOT, SLOTS, SelectAgent
from .slots import slot_distribution

# A line costs some 70 tokens: the small LM reads 400 a second.
_DESCRIPTION_CHARACTERS = 150
_SAMPLE_CHARACTERS = 70
_SAMPLES = 2


class ClassifyAgent(dspy.Module):
    """Ask the LM once for a slot and read its belief from the slot's token.

    The signature is static: the shortlist is an input, so that the system prompt never
    changes and every DSPy optimiser finds the predictor. JSON with an enumerated slot
    is what the servers enforce; small models do not keep to the chat format.
    """

    def __init__(self) -> None:
        super().__init__()
        self.select = dspy.Predict(SelectAgent)
        self._adapter = dspy.JSONAdapter()

    def forward(self, task: str, agents: Sequence[Agent]) -> dspy.Prediction:
        """Return ``probabilities`` by name, ``none``, ``mass``, ``source`` and ``picked``.

        Args:
            task: the task in plain words.
            agents: 1 to 19 agents, in the order in which the LM shall see them.

        Raises:
            LMError: the LM cannot be reached or refuses.
        """
        if not 1 <= len(agents) <= len(SLOTS):
            raise ValueError(f"a shortlist has 1 to {len(SLOTS)} agents, got {len(agents)}")
        slots = (*SLOTS[: len(agents)], NONE_SLOT)
        answer, logprobs = None, None
        try:
            with dspy.context(adapter=self._adapter):
                prediction = self.select(task=one_line(task), candidates=render(agents))
            answer, logprobs = prediction.slot, prediction.get("logprobs")
            if logprobs is not None:
                # Hundreds of alternatives per token, which traces and demos would keep.
                del prediction["logprobs"]
        except AdapterParseError:
            pass  # no slot in the answer: the distribution says "unreadable"
        except DspyLMError as error:
            cause = str(error).strip().splitlines()[0]
            raise LMError(f"the LM did not answer: {cause}") from error
        belief = slot_distribution(answer, logprobs, "slot", slots)
        names = {slot: agent.name for slot, agent in zip(slots, agents, strict=False)}
        likeliest = max(slots, key=lambda slot: belief.probabilities[slot])
        readable_answer = belief.source != "unreadable"
        return dspy.Prediction(
            probabilities={name: belief.probabilities[slot] for slot, name in names.items()},
            none=belief.probabilities[NONE_SLOT],
            mass=belief.mass,
            source=belief.source,
            picked=names.get(likeliest) if readable_answer else None,
        )


def render(agents: Sequence[Agent]) -> str:
    """Return the shortlist as the LM sees it, one line per agent."""
    return "\n".join(f"{slot}) {_line(a)}" for slot, a in zip(SLOTS, agents, strict=False))


def one_line(text: str) -> str:
    """Return the text on one line, without the marks that set the prompt's fields apart."""
    return " ".join(text.replace("[[", "[").replace("]]", "]").split())


def _line(agent: Agent) -> str:
    samples = [_cut(s, _SAMPLE_CHARACTERS) for s in agent.user_request_samples[:_SAMPLES]]
    parts = [
        one_line(readable(agent.name)),
        _cut(agent.description, _DESCRIPTION_CHARACTERS),
        "; ".join(samples),
    ]
    return " - ".join(part for part in parts if part)


def _cut(text: str, limit: int) -> str:
    line = one_line(text)
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"
