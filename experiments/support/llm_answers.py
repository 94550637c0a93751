"""Cached answers of LMs to prompts that list agents.

The answers of a slow LM are kept in ``answers/``: an interrupted run resumes, and the tables need
no LM. Delete a file to ask again.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, Literal, cast

import dspy
from pydantic import BaseModel, Field, ValidationError, create_model

from optimize.lm_stage import ResponseCache
from task_delegator.delegation import total_tokens
from task_delegator.errors import InputError
from task_delegator.lm import find_weights, language_model, without_logprobs
from task_delegator.registry import Agent
from task_delegator.text import one_line

FOLDER = Path("experiments/answers")
SECOND = "TASK_DELEGATOR_SECOND_LM"  # a .gguf of a stronger instruct model
_PATIENCE = 1800.0  # seconds for an answer: a slow LM reads the agents of a new order first
_MOST_TOKENS = 200
_MOST_ANSWERS = 10_000
_THREADS = 1  # two wait for each other where anything else runs
_TASK = "You are in charge of accomplishing the following task:\n"
_FORM = (
    "Name the three agents of the list that suit the task best, the best one first: answer with a "
    'JSON object {"top1": name, "top2": name, "top3": name}.'
)
_CHOOSE = "You MUST select one agent from the list below.\n\n## Agents\n"
_SAMPLES = "Examples of possible tasks that this agent can help with:"


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer: three agents, best first, fewer where it could not be read."""

    names: tuple[str, ...]
    tokens: int
    seconds: float


class PromptedLM:
    """Ask one LM, or read its cached answer.

    Args:
        spec: of an embedded LM.
        label: of the LM in file names and results.
        keep: folder of cached answers; None for no cache.
        shuffles: number of random orders besides that of the registry.
    """

    def __init__(
        self,
        spec: str,
        label: str,
        keep: Path | None = FOLDER,
        shuffles: int = 5,
    ) -> None:
        self.label = label
        self.shuffles = shuffles
        self._spec = spec
        self._files = find_weights(spec.removeprefix("embedded:"))
        self._keep = keep

    @property
    def lm(self) -> Any:
        """The LM, whose server is started when it is first asked."""
        return language_model(self._spec, threads=_THREADS)

    def __call__(self, task: str, agents: Sequence[Agent], samples: bool = False) -> Answer:
        """Return the LM's three best agents of a list.

        Args:
            task: the task in plain words.
            agents: in the order in which the LM shall see them.
            samples: whether their sample requests are shown.
        """
        messages = prompt(task, agents, samples)
        shape = _shape(tuple(agent.name for agent in agents))
        row = self.cached("prompting", {"messages": messages}, lambda: self._ask(messages, shape))
        return Answer(tuple(row["names"]), row["tokens"], row["seconds"])

    def cached(
        self, stage: str, question: dict[str, Any], ask: Callable[[], dict[str, Any]]
    ) -> dict[str, Any]:
        """Return a cached answer, or ask and cache the answer; the LM is part of the key."""
        if self._keep is None:
            return ask()
        self._keep.mkdir(parents=True, exist_ok=True)
        with ResponseCache(self._keep / f"{self.label}.jsonl", _MOST_ANSWERS) as answers:
            row = answers.get(stage, {"lm": self._files.name} | question, ask)
        if row is None:
            raise InputError(f"{self._keep}: {self.label}.jsonl is full; delete it to ask again")
        return row

    def _ask(self, messages: list[dict[str, str]], shape: type[BaseModel]) -> dict[str, Any]:
        started = perf_counter()
        with dspy.track_usage() as tracker, dspy.context(disable_history=True):
            lm = without_logprobs(self.lm).copy(timeout=_PATIENCE)
            text = lm(messages=messages, response_format=shape, max_tokens=_MOST_TOKENS)[0]
        seconds = round(perf_counter() - started, 3)
        cost = {"tokens": total_tokens(tracker), "seconds": seconds}
        try:
            given: Any = shape.model_validate_json(text if isinstance(text, str) else text["text"])
        except ValidationError:
            return {"answer": text, "names": []} | cost
        return {"answer": text, "names": [given.top1, given.top2, given.top3]} | cost


def prompt(task: str, agents: Sequence[Agent], samples: bool) -> list[dict[str, str]]:
    """Return the messages: the list of agents first, so that a prefix cache can serve it."""
    lines = []
    for agent in agents:
        lines.append(f"- Name: {agent.name} Description: {one_line(agent.description)}")
        if samples and agent.user_request_samples:
            lines.append(_SAMPLES)
            lines += [f"  - {one_line(sample)}" for sample in agent.user_request_samples]
    return [
        {"role": "system", "content": _CHOOSE + "\n".join(lines)},
        {"role": "user", "content": f"{_TASK}Task: {one_line(task)}\n\n{_FORM}"},
    ]


def language_models(quick: bool) -> list[PromptedLM]:
    """Return the embedded LM and a stronger one.

    Raises:
        InputError: a full run, and the second LM is not named.
    """
    if quick:
        return [PromptedLM("embedded:raw", "SmolLM2-135M", None, shuffles=1)]
    path = os.environ.get(SECOND)
    if not path:
        raise InputError(f"{SECOND} is not set: name the .gguf file of a stronger instruct model")
    return [
        PromptedLM("embedded:raw", "SmolLM2-135M"),
        PromptedLM(f"embedded:{path}", Path(path).stem),
    ]


def _shape(names: tuple[str, ...]) -> type[BaseModel]:
    one_of = cast("Any", Literal)[names]
    return create_model(
        "Top3Delegates",
        top1=(one_of, Field(description="The top recommended agent for the task.")),
        top2=(one_of, Field(description="The second recommended agent for the task.")),
        top3=(one_of, Field(description="The third recommended agent for the task.")),
    )
