"""DSPy modules that generate a dataset: agents of a domain, requests of an agent, a check."""

import math
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import dspy

from optimize.lm_stage import CachedPredict, ResponseCache
from optimize.synthesis.filters import Draft, clean, filter_samples, find_fault
from task_delegator.errors import InputError, LMError
from task_delegator.knobs import KnobValues, LMKnobs
from task_delegator.registry import Agent
from task_delegator.retrieval import Index, Retrieve
from task_delegator.signatures import VOICES, OutlineAgents, WriteAgent, WriteRequests
from task_delegator.stages import ClassifyAgent, Shortlist, agent_line
from task_delegator.text import one_line

AT_ONCE = 8  # agents that are outlined in one call
PER_CALL = 2  # requests in one voice
EXTRA_TURNS = 2  # in which replacements for dropped texts are requested, within the call limit
_MIN_AGENTS = 2  # of a domain: a single agent cannot be confused
_NEIGHBORS = 3  # agents that requests must stay away from
_LINES = 12  # agents that are listed in the prompt
_TOOLS = 3
_MAX_RANK = 3  # an agent that retrieval ranks second or third is checked by the LM
_SHORTLIST = 5
_ASK_ONCE = LMKnobs(orders=1, repeats=1)


class WriteRegistry(dspy.Module):
    """Write the agents of one domain: first their boundaries, then their entries."""

    def __init__(self, answers: ResponseCache) -> None:
        super().__init__()
        self.outline = CachedPredict("outline", OutlineAgents, answers)
        self.describe = CachedPredict("agent", WriteAgent, answers)

    def forward(self, domain: str, number: int, others: Sequence[Agent]) -> dspy.Prediction:
        """Return ``agents``, the ``calls`` that wrote each (by name), and counts by reason of what
        was ``dropped`` of agents and of ``samples``.

        Args:
            others: agents of other domains.

        Raises:
            InputError: the limit of calls is reached.
            LMError: the LM cannot be reached, or names too few agents.
        """
        agents: list[Agent] = []
        calls: dict[str, list[str]] = {}
        dropped: Counter[str] = Counter()
        samples: Counter[str] = Counter()
        planned = math.ceil(number / AT_ONCE)
        for turn in range(planned + EXTRA_TURNS):
            missing = min(number - len(agents), AT_ONCE)
            if not missing:
                break
            found = self.outline(turn=turn, domain=domain, number=missing, known=_lines(agents))
            if turn >= planned and found.refused:
                break
            outlined = _read_outline(
                require_answer(found).answer, [*others, *agents], missing, dropped
            )
            for agent in outlined:
                near = {other.name: other for other in [*outlined, *agents]}
                del near[agent.name]
                entry = self.describe(
                    domain=domain,
                    agent=_lines([agent]),
                    neighbours=_lines(list(near.values())),
                )
                if turn >= planned and entry.refused:
                    break
                answer = require_answer(entry).answer
                known = [*others, *agents]
                written = _read_agent(answer, agent, domain, known, dropped, samples)
                if written is not None:
                    agents.append(written)
                    calls[written.name] = [found.call, entry.call]
        if len(agents) < _MIN_AGENTS:
            raise LMError(
                f"domain {domain!r}: the LM wrote {len(agents)} usable agents of {number} "
                f"({dict(dropped)}); use a larger LM, or another --seed and --out"
            )
        return dspy.Prediction(agents=agents, calls=calls, dropped=dropped, samples=samples)


def require_answer(found: dspy.Prediction) -> dspy.Prediction:
    """Return a prediction, unless the limit of LM calls refused the call.

    Raises:
        InputError: it was refused.
    """
    if found.refused:
        raise InputError(
            "the limit of LM calls is reached before everything is written; the same command with "
            "a higher --max-lm-calls goes on and asks nothing twice"
        )
    return found


def _lines(agents: Sequence[Agent]) -> str:
    return "\n".join(f"{a.name}: {one_line(a.description)}" for a in agents[-_LINES:])


def _read_outline(
    answer: Mapping[str, Any] | None,
    others: Sequence[Agent],
    number: int,
    dropped: Counter[str],
) -> list[Agent]:
    """Return the agents of an outline, their scope for a description."""
    agents: list[Agent] = []
    for outline in answer["agents"][:number] if answer else []:
        name, scope = clean(outline.name), clean(outline.scope)
        reason = find_fault(name, scope, [*others, *agents])
        if reason is None:
            agents.append(Agent(name=name, description=scope))
        else:
            dropped[reason] += 1
    return agents


def _read_agent(
    answer: Mapping[str, Any] | None,
    outlined: Agent,
    domain: str,
    others: Sequence[Agent],
    dropped: Counter[str],
    samples: Counter[str],
) -> Agent | None:
    """Return an agent with its entry, None where that is not usable."""
    if answer is None:
        dropped["unreadable"] += 1
        return None
    entry = answer["entry"]
    description = clean(entry.description)
    reason = find_fault(outlined.name, description, others)
    if reason is not None:
        dropped[reason] += 1
        return None
    kept, reasons = filter_samples(entry.samples, outlined.name, others)
    samples.update(reasons)
    tools = dict.fromkeys(clean(tool) for tool in entry.tools)
    return Agent(
        name=outlined.name,
        description=description,
        instructions=clean(entry.instructions),
        tools=tuple(tool for tool in tools if tool)[:_TOOLS],
        user_request_samples=kept,
        domain=domain,
    )


class WriteLabeled(dspy.Module):
    """Write labeled requests for one agent, in one voice per call."""

    def __init__(self, answers: ResponseCache, seed: int) -> None:
        super().__init__()
        self.write = CachedPredict("requests", WriteRequests, answers)
        self._voices = random.Random(seed).sample(sorted(VOICES), len(VOICES))

    def forward(self, index: Index, place: int, number: int, turn: int) -> dspy.Prediction:
        """Return ``drafts``, the number of calls that could not be read as ``unreadable``, and
        whether the limit of calls ``refused`` more.

        Args:
            index: of all agents.
            place: of the agent in the index.
            number: of requests to ask for.
            turn: number of earlier turns for this agent.

        Raises:
            LMError: the LM cannot be reached.
        """
        agent = index.agents[place]
        near = sorted(range(len(index.names)), key=lambda other: -index.closeness(place, other))
        neighbors = [index.agents[other] for other in near if other != place][:_NEIGHBORS]
        drafts: list[Draft] = []
        unreadable = 0
        for number_of_call, count in enumerate(split_into_calls(number)):
            voice = self._voices[(place + 3 * turn + number_of_call) % len(self._voices)]
            found = self.write(
                turn=[turn, number_of_call],
                agent=agent_line(agent),
                neighbours="\n".join(agent_line(other) for other in neighbors),
                voice=VOICES[voice],
                number=count,
            )
            if found.refused:
                return dspy.Prediction(drafts=drafts, unreadable=unreadable, refused=True)
            unreadable += found.answer is None
            texts = [clean(text) for text in found.answer["requests"]] if found.answer else []
            source = (agent.name, agent.domain, voice, found.call)
            drafts += [Draft(text, *source) for text in texts[:count]]
        return dspy.Prediction(drafts=drafts, unreadable=unreadable, refused=False)


def split_into_calls(number: int) -> list[int]:
    """Return how many requests each call asks for."""
    return [min(PER_CALL, number - start) for start in range(0, number, PER_CALL)]


class CheckRoundTrip(dspy.Module):
    """Check that a request leads back to its agent: by retrieval, and by the LM in close cases.

    Args:
        retrieve: over the registry that was written.
        lm: judges between the agents of a shortlist.
    """

    def __init__(self, retrieve: Retrieve, answers: ResponseCache, lm: Any, seed: int) -> None:
        super().__init__()
        self.retrieve = retrieve
        self.classify = ClassifyAgent()
        self.answers = answers
        self._lm = lm
        self._seed = seed
        self._found: dict[str, tuple[Agent, ...]] = {}

    def forward(self, draft: Draft) -> dspy.Prediction:
        """Return the ``reason`` why it does not lead back; None where it does.

        Raises:
            LMError: the LM cannot be reached.
        """
        rank = self.rank(draft)
        if rank > _MAX_RANK:
            return dspy.Prediction(reason="leads elsewhere")
        return dspy.Prediction(reason=None if rank == 1 else self._judge(draft))

    def rank(self, draft: Draft) -> int:
        """Return the place of the agent in retrieval's order, from 1."""
        if draft.text not in self._found:
            self._found[draft.text] = self.retrieve(draft.text, KnobValues()).agents
        found = [agent.name for agent in self._found[draft.text]]
        return found.index(draft.agent) + 1 if draft.agent in found else len(found) + 1

    def _judge(self, draft: Draft) -> str | None:
        shown = list(self._found[draft.text][:_SHORTLIST])
        # A small LM likes the first place, where retrieval has put another agent.
        random.Random(f"{self._seed} {draft.text}").shuffle(shown)
        question = {"task": draft.text, "agents": [agent_line(agent) for agent in shown]}
        row = self.answers.get("judge", question, lambda: self._ask(draft.text, shown))
        if row is None:
            return "not judged: limit of calls"
        if row["answer"] is None:
            return "not judged: unreadable"
        return None if row["answer"] == draft.agent else "leads elsewhere, says the LM"

    def _ask(self, task: str, agents: Sequence[Agent]) -> dict[str, Any]:
        with dspy.context(lm=self._lm):
            belief = self.classify(task, Shortlist(tuple(agents)), _ASK_ONCE)
        if belief.answers[0].source == "unreadable":
            return {"answer": None}
        return {"answer": belief.answers[0].picked or ""}
