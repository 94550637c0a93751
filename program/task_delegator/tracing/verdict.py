"""The two questions of a review, and what an answer means.

One is asked by choice: whether the first agent is right, another, nobody, or several. The other
takes the name of the agent where it is another. A choice among all agents is none: MLflow takes
ten options, and a list of names would show agents that a reviewer may not see.
"""

from collections.abc import Mapping
from dataclasses import dataclass

VERDICT, RIGHT_AGENT = "verdict", "right_agent"  # names of assessments on a trace
FIRST, ANOTHER = "the first agent", "another agent"
NOBODY, SEVERAL = "no agent", "several agents"


@dataclass(frozen=True, slots=True)
class Question:
    """A question to a reviewer.

    Attributes:
        name: of the assessment that holds the answer.
        instruction: what is asked.
        options: to choose from; none for a text.
    """

    name: str
    instruction: str
    options: tuple[str, ...] = ()


QUESTIONS = (
    Question(VERDICT, "Who should do this task?", (FIRST, ANOTHER, NOBODY, SEVERAL)),
    Question(RIGHT_AGENT, "The name of the right agent, where it is another than the first."),
)


def verdict_of(first: str | None, correct_agent: str | None) -> str:
    """Return the verdict that a named agent is.

    Args:
        first: the first agent of the delegation; None where it ranked none.
        correct_agent: the right agent; None for nobody.
    """
    if correct_agent is None:
        return NOBODY
    return FIRST if correct_agent == first else ANOTHER


def agent_of(answers: Mapping[str, str], first: str | None) -> str | None:
    """Return the right agent that answers name, None for nobody.

    Args:
        answers: by the name of the question.
        first: the first agent of the delegation.

    Raises:
        LookupError: they name none: several are right, another one without a name, or nothing
            is answered.
    """
    said = answers.get(VERDICT)
    named = answers.get(RIGHT_AGENT, "").strip()
    if said == NOBODY:
        return None
    if said == FIRST and first is not None:
        return first
    if said in (ANOTHER, None) and named:
        return named
    raise LookupError(said or "nothing")
