"""Delegator: the whole program, from a task to a delegation."""

import math
from collections.abc import Collection, Sequence
from dataclasses import asdict
from time import perf_counter
from typing import TYPE_CHECKING, Any

import dspy

from .agents import Agent, Registry
from .classify import ClassifyAgent
from .confidence import AssessConfidence
from .delegation import Candidate, Decision, Delegation, Usage
from .embed import Embedder, embedder
from .errors import InputError
from .knobs import Knobs, KnobValues
from .lm import language_model
from .retrieve import Library, Retrieve

MAX_TASK_CHARACTERS = 20_000  # some 5,000 tokens: a task, not a document
_LEAST = 1e-9  # of a slot's probability before its logarithm is taken


class Delegator(dspy.Module):
    """Name the agent that should do a task, say how sure that is, and decide.

    Args:
        registry: the agents; later changes are followed.
        embed: the embedder; the packaged MiniLM where None.
        lm: the LM for hard tasks, or its spec, which is resolved when the first hard task
            comes. Where None, ``dspy.settings.lm`` serves, and where that is None too,
            the program works without one.
        calibrated_for: digests of the registries that the confidence was calibrated on;
            None for any. On another registry no task is assigned: a person reviews it.
    """

    def __init__(
        self,
        registry: Registry,
        embed: Embedder | None = None,
        lm: dspy.BaseLM | str | None = None,
        calibrated_for: frozenset[str] | None = None,
    ) -> None:
        super().__init__()
        if len(registry) == 0:
            raise InputError("the registry is empty: add at least one agent")
        self.knobs = Knobs()
        self.retrieve = Retrieve(Library(registry, embed or embedder()))
        self.classify = ClassifyAgent()
        self.assess = AssessConfidence()
        self._lm = lm
        self._calibrated_for = calibrated_for
        self._calibrated: tuple[int, bool] | None = None

    if TYPE_CHECKING:  # DSPy types a module's call as a plain Prediction

        def __call__(self, task: str, permissions: Collection[str] | None = None) -> Delegation:
            """Delegate one task; see ``forward``."""
            ...

    @property
    def registry(self) -> Registry:
        """The agents; changes to it take effect at the next task."""
        return self.retrieve.library.registry

    @property
    def calibrated(self) -> bool:
        """Whether the confidence was calibrated on the registry as it is now."""
        if self._calibrated_for is None:
            return True
        version = self.registry.version
        if self._calibrated is None or self._calibrated[0] != version:
            self._calibrated = (version, self.registry.sha256() in self._calibrated_for)
        return self._calibrated[1]

    def forward(self, task: str, permissions: Collection[str] | None = None) -> Delegation:
        """Delegate one task.

        Args:
            task: the task in plain words, 1 to 20,000 characters.
            permissions: what the caller may use; None for a caller without limits.
                Agents that need more are not ranked, prompted or returned.

        Raises:
            InputError: the task is empty or too long.
            LMError: the LM was needed and did not answer.
        """
        started = perf_counter()
        check_task(task)
        knobs = self.knobs.values
        permitted = None if permissions is None else self.registry.permitted(permissions)
        with dspy.track_usage() as tracker:
            found = self.retrieve(task=task, knobs=knobs, permitted=permitted)
            if not found.candidates:
                return _nobody(task, perf_counter() - started)
            candidates = found.candidates
            verdict = self.assess(candidates, found.signals, knobs, lm_asked=False)
            gate = {"confidence": verdict.confidence, "threshold": knobs.gate}
            asked: dict[str, Any] | None = None
            if verdict.confidence < knobs.gate and (lm := self._language_model()):
                # DSPy would keep every prompt and answer of a service in memory.
                with dspy.context(lm=lm, disable_history=True):
                    asked = self._ask(task, found.agents[: knobs.k], knobs.orders)
                candidates = weigh(candidates, asked["probabilities"], knobs.lm)
                # Where its word has no weight, the posterior is still retrieval's.
                verdict = self.assess(candidates, found.signals, knobs, lm_asked=knobs.lm > 0)
        decision, reason = decide(
            candidates, verdict.confidence, verdict.fits, knobs, self.calibrated
        )
        return Delegation(
            task=task,
            decision=decision,
            agent=None if decision == "none" else candidates[0].name,
            top3=candidates[:3],
            confidence=verdict.confidence,
            reason=reason,
            rubric=None,
            evidence={
                "ranking": [candidate.name for candidate in candidates],
                "retrieval": {
                    "posterior": {c.name: c.probability for c in found.candidates},
                    "standing": found.standing,
                },
                "gate": gate,
                "lm": asked,
                "signals": asdict(found.signals),
                "sureness": asdict(verdict.sureness),
                "fits": verdict.fits,
                "calibrated": self.calibrated,
            },
            usage=Usage(
                lm_calls=asked["calls"] if asked else 0,
                tokens=_tokens(tracker.get_total_tokens()),
                seconds=perf_counter() - started,
            ),
        )

    def _language_model(self) -> dspy.BaseLM | None:
        if isinstance(self._lm, str):
            return language_model(self._lm)  # one server per process, started again if it died
        return self._lm or dspy.settings.lm

    def _ask(self, task: str, agents: Sequence[Agent], orders: int) -> dict[str, Any]:
        """Ask the LM in one or two orders and average its log-probabilities over them."""
        shown = (agents, agents[::-1])[:orders]
        answers = [self.classify(task=task, agents=order) for order in shown]
        weights = {
            agent.name: math.exp(
                sum(math.log(max(a.probabilities[agent.name], _LEAST)) for a in answers)
                / len(answers)
            )
            for agent in agents
        }
        total = math.fsum(weights.values())
        return {
            "probabilities": {name: weight / total for name, weight in weights.items()},
            "none": [answer.none for answer in answers],
            "picked": [answer.picked for answer in answers],
            "mass": [answer.mass for answer in answers],
            "source": [answer.source for answer in answers],
            "calls": len(answers),
        }


def weigh(
    candidates: Sequence[Candidate], belief: dict[str, float], weight: float
) -> tuple[Candidate, ...]:
    """Multiply the posterior by the LM's belief to a power, within the shortlist's share.

    A log-linear pool: weight 0 leaves the posterior as it is, 1 takes the LM as an
    independent witness. Agents the LM did not see keep their probabilities.
    """
    shown = [c for c in candidates if c.name in belief]
    share = math.fsum(c.probability for c in shown)
    scaled = {
        c.name: max(c.probability, _LEAST) * max(belief[c.name], _LEAST) ** weight for c in shown
    }
    total = math.fsum(scaled.values())
    pooled = [
        Candidate(c.name, share * scaled[c.name] / total) if c.name in scaled else c
        for c in candidates
    ]
    return tuple(sorted(pooled, key=lambda c: (-c.probability, c.name)))


def decide(
    candidates: Sequence[Candidate],
    confidence: float,
    fits: float,
    knobs: KnobValues,
    calibrated: bool,
) -> tuple[Decision, str]:
    """Return the decision and one sentence that a person can act on."""
    first = candidates[0]
    rival = f", ahead of {candidates[1].name}" if len(candidates) > 1 else ""
    finding = f"{first.name} is right with a probability of {confidence:.0%}{rival}"
    if fits < knobs.fits:
        return "none", f"No agent seems to be meant for this; the closest is {first.name}."
    if confidence < knobs.assign:
        return "review", f"{finding}; that is too little to assign ({knobs.assign:.0%} needed)."
    if not calibrated:
        return "review", f"{finding}, but the confidence is not calibrated for this registry."
    return "assign", f"{finding}."


def check_task(task: str) -> None:
    """Refuse a task that nobody could delegate.

    Raises:
        InputError: the task is empty or longer than ``MAX_TASK_CHARACTERS``.
    """
    if not task.strip():
        raise InputError("the task is empty: say what should be done")
    if len(task) > MAX_TASK_CHARACTERS:
        raise InputError(
            f"the task has {len(task):,} characters: shorten it to {MAX_TASK_CHARACTERS:,}"
        )


def _nobody(task: str, seconds: float) -> Delegation:
    return Delegation(
        task=task,
        decision="none",
        agent=None,
        top3=(),
        confidence=0.0,
        reason="No agent is available to this caller.",
        rubric=None,
        evidence={"ranking": [], "lm": None, "fits": 0.0},
        usage=Usage(seconds=seconds),
    )


def _tokens(usage: dict[str, dict[str, Any]]) -> int:
    return sum(int(entry.get("total_tokens") or 0) for entry in usage.values())
