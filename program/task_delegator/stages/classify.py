"""ClassifyAgent: ask the LM for a distribution over the shortlist and "none of them"."""

import hashlib
import json
import math
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from threading import Lock
from typing import TYPE_CHECKING, Any

import dspy

from ..adapters import BoundedJSONAdapter
from ..delegation import OrderAnswer
from ..knobs import KnobValues
from ..lm import writes
from ..prediction import FrozenPrediction
from ..probability import PROBABILITY_FLOOR
from ..registry import Agent
from ..signatures import CONTENT_FREE, NONE_SLOT, SLOTS, SelectAgent, SlotAdapter, WeighAgents
from ..text import one_line
from .prompting import ask, chosen_adapter, render
from .slots import SlotDistribution, Source, given, repeated, slot_distribution

_PRIOR_LISTS = 3  # shortlists over which the content-free prior is averaged
_MOST_PRIORS = 32  # a shortlist's length, a prompt and an LM have one each
_REPEAT_TEMPERATURE = 1.0  # answers are to vary as the LM's belief does


class Classification(FrozenPrediction):
    """What an LM believes of a shortlist.

    Attributes:
        probabilities: by name, over all orders.
        answers: the belief in each order that it was shown.
        calls: LM calls that it took.
    """

    probabilities: Mapping[str, float]
    answers: tuple[OrderAnswer, ...]
    calls: int = 0


class ClassifyAgent(dspy.Module):
    """Ask the LM for a slot and read its belief, in one order of the shortlist or in two.

    The signature is static: the shortlist is an input, so that the system prompt never
    changes and every DSPy optimizer finds the predictor. JSON with an enumerated slot
    is what the servers enforce; small models do not keep to the chat format.

    The belief comes from the slot token's log-probabilities. Where the LM gives none, it is
    asked several times, or writes a distribution down; a System One backend gives one of its
    own.
    """

    def __init__(self) -> None:
        super().__init__()
        self.select = dspy.Predict(SelectAgent)
        self.weigh = dspy.Predict(WeighAgents)
        self._slots, self._decisions = SlotAdapter(), BoundedJSONAdapter()
        self._priors = _Priors()

    def forward(
        self,
        task: str,
        agents: Sequence[Agent],
        knobs: KnobValues,
        posterior: Mapping[str, float] | None = None,
        reference: tuple[object, Sequence[Agent]] = (0, ()),
    ) -> Classification:
        """Return the LM's belief, averaged over the orders it was shown.

        Args:
            task: the task in plain words.
            agents: 1 to 19 agents, in the order in which the LM shall see them first.
            knobs: the group ``lm``.
            posterior: what retrieval believes, by name; where its pool with the first answer
                leaves the two best further apart than the margin, the second order is not asked.
            reference: a key of the registry's version, and agents that every caller may see,
                for the content-free prior.

        Raises:
            LMError: the LM cannot be reached or refuses.
        """
        if not 1 <= len(agents) <= len(SLOTS):
            raise ValueError(f"a shortlist has 1 to {len(SLOTS)} agents, got {len(agents)}")
        prior, calls = self._prior(len(agents), knobs, reference) if knobs.lm.prior else ({}, 0)
        answers: list[OrderAnswer] = []
        for order in (agents, agents[::-1])[: knobs.lm.orders]:
            if answers and exceeds_margin(mean_belief(answers), posterior, knobs):
                break
            belief, asked = self.ask(task, order, knobs)
            answers.append(_by_name(belief.without(prior, knobs.lm.prior), order))
            calls += asked
        return Classification(
            probabilities=mean_belief(answers), answers=tuple(answers), calls=calls
        )

    if TYPE_CHECKING:  # DSPy types a module's call as a plain Prediction

        def __call__(self, *args: Any, **kwargs: Any) -> Classification:
            """Return what ``forward`` does."""
            ...

    def ask(
        self, task: str, agents: Sequence[Agent], knobs: KnobValues
    ) -> tuple[SlotDistribution, int]:
        """Return the belief over slots in one order, and the calls it took."""
        inputs = {"task": one_line(task), "candidates": render(agents)}
        slots = (*SLOTS[: len(agents)], NONE_SLOT)
        if not writes(self.select.lm or dspy.settings.lm):
            return self._weighed(inputs, slots, "decision"), 1
        answer, logprobs = self._selected(inputs)
        belief = slot_distribution(answer, logprobs, "slot", slots)
        if belief.source != "answer" or knobs.lm.repeats == 1:
            return belief, 1
        if knobs.lm.repeats == 0:
            return self._weighed(inputs, slots, "verbalised"), 2
        answers = [answer]
        for number in range(1, knobs.lm.repeats):
            varied = {"temperature": _REPEAT_TEMPERATURE, "rollout_id": number}
            answers.append(self._selected(inputs, config=varied)[0])
        return repeated(answers, slots), knobs.lm.repeats

    def _selected(self, inputs: dict[str, str], **settings: Any) -> tuple[str | None, Any]:
        prediction = ask(self.select, self._slots, **inputs, **settings)
        if prediction is None:
            return None, None  # no slot in the answer: the distribution says "unreadable"
        logprobs = prediction.get("logprobs")
        if logprobs is not None:
            # Hundreds of alternatives per token, which traces and demos would keep.
            del prediction["logprobs"]
        return prediction.slot, logprobs

    def _weighed(
        self, inputs: dict[str, str], slots: Sequence[str], source: Source
    ) -> SlotDistribution:
        prediction = ask(self.weigh, self._decisions, **inputs)
        said = None if prediction is None else getattr(prediction.slot, "probabilities", None)
        return given(said, slots, source)

    def _prior(
        self, places: int, knobs: KnobValues, reference: tuple[object, Sequence[Agent]]
    ) -> tuple[dict[str, float], int]:
        """Return the LM's belief over slots for a task without content, and the calls it took.

        Contextual calibration (Zhao et al., 2021): averaged over shortlists of the registry, and
        asked as the task itself will be, once per LM, prompt and registry version.
        """
        version, agents = reference
        lists = [agents[i * places : (i + 1) * places] for i in range(_PRIOR_LISTS)]
        lists = [shown for shown in lists if len(shown) == places]
        key = self._fingerprint(version, knobs.lm.repeats, [places, *map(render, lists)])
        known = self._priors.get(key)
        if known is not None:
            return known, 0
        asked = [self.ask(CONTENT_FREE, shown, knobs) for shown in lists]
        beliefs = [belief.probabilities for belief, _ in asked]
        prior = {
            slot: math.fsum(belief[slot] for belief in beliefs) / len(beliefs)
            for slot in (beliefs[0] if beliefs else ())
        }
        self._priors.put(key, prior)
        return prior, sum(calls for _, calls in asked)

    def _fingerprint(self, *shown: object) -> str:
        """Return a digest of all that a prior depends on: the LM, the prompts, what is shown."""
        lm = self.select.lm or dspy.settings.lm
        predictors = (self.select, self.weigh)
        prompts = [(str(predict.signature), predict.demos) for predict in predictors]
        adapter = type(chosen_adapter(self._slots)).__name__
        text = json.dumps([str(getattr(lm, "model", "")), adapter, prompts, shown], default=repr)
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


class _Priors:
    """The priors that were asked for last, by fingerprint; a copy of them is empty."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, dict[str, float]] = OrderedDict()
        self._lock = Lock()

    def __reduce__(self) -> tuple[type["_Priors"], tuple[()]]:
        return _Priors, ()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: str) -> dict[str, float] | None:
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)

    def put(self, key: str, prior: dict[str, float]) -> None:
        with self._lock:
            self._kept[key] = prior
            self._kept.move_to_end(key)
            while len(self._kept) > _MOST_PRIORS:
                self._kept.popitem(last=False)


def mean_belief(answers: Sequence[OrderAnswer]) -> dict[str, float]:
    """Return the mean log-probability per agent over orders, as probabilities."""
    weights = {
        name: math.exp(
            math.fsum(math.log(max(a.probabilities[name], PROBABILITY_FLOOR)) for a in answers)
            / len(answers)
        )
        for name in answers[0].probabilities
    }
    total = math.fsum(weights.values())
    return {name: weight / total for name, weight in weights.items()}


def exceeds_margin(
    belief: Mapping[str, float], posterior: Mapping[str, float] | None, knobs: KnobValues
) -> bool:
    """Return whether the two best agents are further apart than ``lm.second_order_margin``."""
    margin = knobs.lm.second_order_margin
    if margin is None or posterior is None or len(belief) < 2:
        return False
    pooled = sorted(
        math.log(max(posterior[name], PROBABILITY_FLOOR))
        + knobs.lm.weight * math.log(max(p, PROBABILITY_FLOOR))
        for name, p in belief.items()
    )
    return pooled[-1] - pooled[-2] >= margin


def _by_name(belief: SlotDistribution, agents: Sequence[Agent]) -> OrderAnswer:
    slots = {agent.name: slot for agent, slot in zip(agents, SLOTS, strict=False)}
    likeliest = max(belief.probabilities, key=lambda slot: belief.probabilities[slot])
    picked = next((name for name, slot in slots.items() if slot == likeliest), None)
    return OrderAnswer(
        probabilities={name: belief.probabilities[slot] for name, slot in slots.items()},
        none=belief.probabilities[NONE_SLOT],
        mass=belief.mass,
        source=belief.source,
        picked=picked if belief.source != "unreadable" else None,
    )
