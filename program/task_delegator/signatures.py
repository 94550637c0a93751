"""Every signature of the program: the only file with prompt wording."""

from typing import Literal

import dspy
from pydantic import BaseModel, Field

from ._compat import Choice
from .lm import BoundedJSONAdapter

SLOTS = tuple("ABCDEFGHIJKLMOPQRST")  # one token each; no N, which starts NONE on some models
NONE_SLOT = "Z"
Slot = Literal[
    "A", "B", "C", "D", "E", "F", "G", "H", "I", "J",
    "K", "L", "M", "O", "P", "Q", "R", "S", "T", "Z",
]  # fmt: skip
# The same answers as a decision: chat LMs write a probability for each, System One has them.
SlotChoice = Choice[tuple((slot, "") for slot in (*SLOTS, NONE_SLOT))]
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


class SlotAdapter(BoundedJSONAdapter):
    """JSON, without naming the twenty slots again behind every task.

    The system prompt names them, which servers keep. What follows it is some eighty tokens
    shorter: a third of a shortlist without descriptions.
    """

    def user_message_output_requirements(self, signature: type[dspy.Signature]) -> str:
        """Return what the user message ends with."""
        fields = ", ".join(f"`{name}`" for name in signature.output_fields)
        return f"Respond with a JSON object: {fields}."


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


class RankedSlot(BaseModel):
    """A letter with the probability that it is the right answer."""

    slot: Slot
    probability: float = Field(description="0 to 1")


class RankAgents(dspy.Signature):
    """Choose the agent that should do the task, and say how sure that is.

    Read what each agent is for, then answer with the letter of the one agent whose purpose
    covers the whole task. Answer Z if none of them fits. Then give the three likeliest letters,
    Z among them where nobody may fit, with probabilities as you would bet on them.
    """

    task: str = dspy.InputField(desc="what somebody wants done")
    candidates: str = dspy.InputField(
        desc="one agent per line: LETTER) name - description - example requests"
    )
    slot: Slot = dspy.OutputField(desc="the letter of the agent that fits best, or Z")
    ranking: list[RankedSlot] = dspy.OutputField(
        desc="the three likeliest letters, best first; their probabilities sum to 1 at most"
    )


class ExplainAgents(RankAgents):
    """Choose the agent that should do the task, say how sure that is, and why.

    Read what each agent is for, then answer with the letter of the one agent whose purpose
    covers the whole task. Answer Z if none of them fits. Then give the three likeliest letters,
    Z among them where nobody may fit, with probabilities as you would bet on them. Rate the
    choice from 1 (the task is outside every agent's purpose) over 3 (two agents could both be
    meant) to 5 (one agent's purpose names this kind of task and no other's does). A person
    reads the reason.
    """

    rubric: Literal[1, 2, 3, 4, 5] = dspy.OutputField(desc="the rating")
    reason: str = dspy.OutputField(desc="one sentence: why this agent, and what speaks against it")


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


class Outline(BaseModel):
    """An agent before its entry is written: a name and where its business ends."""

    name: str = Field(description="two to four words: its piece of work, no department")
    scope: str = Field(description="one sentence: which requests are its own, and which are not")


class OutlineAgents(dspy.Signature):
    """Name the agents that a company would have for one domain of work.

    An agent does one piece of work that colleagues or customers ask for, such as, in shipping,
    "Parcel Loss Claims" or "Return Label Desk". It is no job title, leads nobody and never covers
    the whole domain. The agents are neighbours that a newcomer might mix up; their scopes tell
    them apart by subject, by whom they serve, by system, or by stage of the work. No piece of work
    belongs to two of them.
    """

    domain: str = dspy.InputField(desc="the domain of work")
    number: int = dspy.InputField(desc="how many agents to name")
    known: str = dspy.InputField(desc="agents that exist already, one per line: name others")
    agents: list[Outline] = dspy.OutputField(desc="the new agents")


class Entry(BaseModel):
    """What a registry says of an agent, beside its name."""

    description: str = Field(description="one or two sentences: what it is for, and what not")
    instructions: str = Field(description="one sentence: how it shall go about its work")
    tools: list[str] = Field(description="one to three, such as orders.search")
    samples: list[str] = Field(
        description="five messages of people who want something: 'My parcel came broken, who pays?'"
    )


class WriteAgent(dspy.Signature):
    """Write the entry of one agent in a company's list of agents.

    The description says what people bring to it, within its scope, and what it leaves to its
    neighbours. The samples are messages that people send to it: each a sentence or two about a
    concrete case of their own, each about another part of its work, without its name.
    """

    domain: str = dspy.InputField(desc="the domain of work")
    agent: str = dspy.InputField(desc="name and scope")
    neighbours: str = dspy.InputField(desc="other agents and their scopes, one per line")
    entry: Entry = dspy.OutputField(desc="the agent's entry")


class WriteRequests(dspy.Signature):
    """Write what somebody asks of a company, where one agent should get it.

    The person writes about a case of their own, in the voice that is given, and wants something
    done or answered. They do not know the agents: no agent is named. By the agents' own text each
    request is the business of this agent and of none of its neighbours. Use other words than its
    description and examples do, and another case each time.
    """

    agent: str = dspy.InputField(desc="name, description and example requests")
    neighbours: str = dspy.InputField(desc="agents that must not get them, one per line")
    voice: str = dspy.InputField(desc="who writes, and how")
    number: int = dspy.InputField(desc="how many requests to write")
    requests: list[str] = dspy.OutputField(desc="messages of this person, who wants something")


# Who writes a request, by the name that its provenance gives.
VOICES = {
    "plain": "a colleague who says in one sentence what is needed",
    "hurried": "somebody in a hurry on a phone: lower case, half sentences, a typo",
    "customer": "a customer who writes politely and tells what happened first",
    "manager": "a manager who says what must be done, by when and why it matters",
    "newcomer": "somebody new who does not know the right terms and asks a question",
    "forwarded": "a colleague who passes on what somebody else wrote, quoting it",
    "expert": "a specialist who is exact: numbers, dates, systems, abbreviations",
    "annoyed": "somebody who has asked before and is losing patience",
}
