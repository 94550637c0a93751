"""Every signature of the program: the only file with prompt wording."""

from typing import Any, Literal, cast

import dspy
from dspy.experimental import Choice
from pydantic import BaseModel, Field

SLOTS = tuple("ABCDEFGHIJKLMOPQRST")  # one token each; no N, which starts NONE on some models
NONE_SLOT = "Z"
Slot = Literal[
    "A", "B", "C", "D", "E", "F", "G", "H", "I", "J",
    "K", "L", "M", "O", "P", "Q", "R", "S", "T", "Z",
]  # fmt: skip
# The same answers as a decision: chat LMs write a probability for each, System One has them.
SlotChoice = cast("Any", Choice)[tuple((slot, "") for slot in (*SLOTS, NONE_SLOT))]
CONTENT_FREE = "N/A"  # a task without content: what an LM then answers is its bias for places


class SelectAgent(dspy.Signature):
    """Choose the agent that should do the task.

    Read what each agent is for, then answer with the letter of the one agent whose
    purpose covers the whole task. Answer Z if none of them fits.
    """

    task: str = dspy.InputField(desc="what somebody wants done")
    candidates: str = dspy.InputField(
        desc="one agent per line: LETTER) name - description - example requests"
    )
    slot: Slot = dspy.OutputField(desc="the letter of the agent that fits best, or Z")


class WeighAgents(dspy.Signature):
    """Say for each agent how likely it is the one that should do the task.

    Read what each agent is for. Give letters that stand before no agent a probability of 0,
    and Z the probability that none of the agents fits.
    """

    task: str = dspy.InputField(desc="what somebody wants done")
    candidates: str = dspy.InputField(
        desc="one agent per line: LETTER) name - description - example requests"
    )
    slot: SlotChoice = dspy.OutputField(  # type: ignore[valid-type]
        desc="the letter of the agent that fits best, or Z"
    )


class RephraseTask(dspy.Signature):
    """Write the task again in other words.

    Each phrasing asks for the same thing, in a sentence, as another colleague would say it:
    other verbs, other nouns, no detail that the task does not have.
    """

    task: str = dspy.InputField(desc="what somebody wants done")
    number: int = dspy.InputField(desc="how many phrasings to write")
    phrasings: list[str] = dspy.OutputField(desc="the phrasings")


class DescribeIdealAgent(dspy.Signature):
    """Describe the agent that should do the task, as a company's list of agents would.

    Say in one or two sentences what such an agent is for. Leave out names, numbers and
    circumstances of this one task.
    """

    task: str = dspy.InputField(desc="what somebody wants done")
    description: str = dspy.OutputField(desc="what the ideal agent is for")


class Part(BaseModel):
    """One part of a task, for one agent."""

    task: str = Field(description="what this agent shall do, in the words of the task")
    after: list[int] = Field(
        default_factory=list, description="numbers of the parts that must be done before, from 1"
    )


class SplitTask(dspy.Signature):
    """Split a task into parts that different agents should do.

    Most tasks are for one agent: then answer with one part, the whole task. Split only where
    the task asks for different things that different specialists deliver. Background, reasons
    and details belong to the part that they explain. Keep the order of the task.
    """

    task: str = dspy.InputField(desc="what somebody wants done")
    parts: list[Part] = dspy.OutputField(desc="1 to 4 parts, in the order of the task")


class RateAssignment(dspy.Signature):
    """Rate how sure it is that the agent is the right one for the task.

    5: the agent's purpose names this kind of task and no rival's does.
    4: the agent's purpose covers the task; a rival touches it.
    3: the agent and a rival could both be meant.
    2: the agent covers a part of the task, or a rival covers it better.
    1: the task is outside the agent's purpose.
    """

    task: str = dspy.InputField(desc="what somebody wants done")
    agent: str = dspy.InputField(desc="the agent: name - description - example requests")
    rivals: str = dspy.InputField(desc="other agents, one per line")
    rubric: Literal[1, 2, 3, 4, 5] = dspy.OutputField(desc="the rating")


class EnrichAgent(dspy.Signature):
    """Complete what a company's list of agents says about one agent.

    The requests are new, and this agent, by its own text, should get them, and none of the
    rivals. They cover what the description and instructions say and the examples do not, in the
    words that colleagues use rather than the description's. Vary length, tone and occasion. Do
    not name the agent, and do not repeat its examples.
    """

    agent: str = dspy.InputField(desc="name, description, instructions and example requests")
    rivals: str = dspy.InputField(desc="the agents it is most easily confused with, one per line")
    number: int = dspy.InputField(desc="how many requests to write")
    requests: list[str] = dspy.OutputField(desc="what people ask of this agent")
    use_when: str = dspy.OutputField(desc="one sentence: what is its business, in plain words")
    do_not_use_when: str = dspy.OutputField(
        desc="one sentence that tells it from its rivals, naming whose business that is"
    )
