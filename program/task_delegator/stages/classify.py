"""ClassifyAgent: ask the LM for a distribution over the shortlist and "none of them"."""

import hashlib
import json
import math
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import dspy

from ..decision import PROBABILITY_FLOOR
from ..delegation import OrderAnswer
from ..knobs import LMKnobs
from ..lm import BoundedJSONAdapter, writes
from ..prediction import FrozenPrediction
from ..registry import Agent
from ..signatures import (
    CONTENT_FREE,
    NONE_SLOT,
    SLOTS,
    ExplainAgents,
    RankAgents,
    SelectAgent,
    SlotAdapter,
    WeighAgents,
)
from ..system import Lock
from ..text import one_line
from .cards import Shortlist
from .coroutines import run_to_end
from .prompting import aask, chosen_adapter, own_lm
from .slots import SlotDistribution, given, ranked, repeated, slot_distribution

_Ask: TypeAlias = Callable[..., Coroutine[Any, Any, Any]]  # a predictor and its adapter

_PRIOR_LISTS = 3  # shortlists over which the content-free prior is averaged
_MOST_PRIORS = 32  # a shortlist's length, a prompt and an LM have one each
_REPEAT_TEMPERATURE = 1.0  # answers are to vary as the LM's belief does
_REASON_CHARACTERS = 300


class Classification(FrozenPrediction):
    """What an LM believes of a shortlist.

    Attributes:
        probabilities: by name, over all orders; without "none of them".
        none: mean probability over the orders that none of them fits.
        answers: the belief in each order that it was shown.
        left_out: agents that did not fit into the prompt.
        rubric: the LM's own confidence, 1..5; None where it was not asked for.
        reason: why, in the LM's words; empty where it was not asked for.
        calls: LM calls that it took.
    """

    probabilities: Mapping[str, float]
    none: float
    answers: tuple[OrderAnswer, ...]
    left_out: tuple[str, ...] = ()
    rubric: int | None = None
    reason: str = ""
    calls: int = 0

    @property
    def mass(self) -> float:
        """Share of its belief that the answers offered have, mean over the orders, 0..1."""
        known = [1.0 if answer.mass is None else answer.mass for answer in self.answers]
        return math.fsum(known) / len(known)

    @property
    def readable(self) -> bool:
        """Whether an answer could be read."""
        return any(answer.source != "unreadable" for answer in self.answers)


@dataclass(frozen=True, slots=True)
class SlotAnswer:
    """What the LM said of one order of the shortlist.

    Attributes:
        belief: its distribution over the offered slots.
        calls: LM calls that it took.
        rubric, reason: as in ``Classification``.
    """

    belief: SlotDistribution
    calls: int
    rubric: int | None = None
    reason: str = ""


class ClassifyAgent(dspy.Module):
    """Ask the LM for a slot and read its belief, in one order of the shortlist or in two.

    The signatures are static: the shortlist is an input, so that the system prompt never
    changes and every DSPy optimizer finds the predictors. JSON with an enumerated slot is what
    the servers enforce; small models do not keep to the chat format.

    The belief comes from the slot token's log-probabilities. Where the LM gives none, it ranks
    its three best with probabilities in the same answer (knob ``lm.answer``), or is asked
    several times, or writes a distribution down; a System One backend gives one of its own.
    """

    def __init__(self) -> None:
        super().__init__()
        self.select = dspy.Predict(SelectAgent)
        self.weigh = dspy.Predict(WeighAgents)
        self.rank = dspy.Predict(RankAgents)
        self.explain = dspy.Predict(ExplainAgents)
        self._slots, self._structured = SlotAdapter(), BoundedJSONAdapter()
        self._priors = _Priors()

    def forward(
        self,
        task: str,
        shortlist: Shortlist,
        knobs: LMKnobs,
        posterior: Mapping[str, float] | None = None,
        reference: tuple[object, Sequence[Agent]] = (0, ()),
    ) -> Classification:
        """Return the LM's belief, averaged over the orders it was shown.

        Args:
            task: the task in plain words.
            shortlist: 1 to 19 agents, in the order in which the LM shall see them first.
            knobs: of the LM.
            posterior: what retrieval believes, by name; where its pool with the first answer
                leaves the two best further apart than the margin, the second order is not asked.
            reference: a key of the registry's version, and agents that every caller may see,
                for the content-free prior.

        Raises:
            LMError: the LM cannot be reached or refuses.
        """
        return run_to_end(self.aforward(task, shortlist, knobs, posterior, reference))

    async def aforward(
        self,
        task: str,
        shortlist: Shortlist,
        knobs: LMKnobs,
        posterior: Mapping[str, float] | None = None,
        reference: tuple[object, Sequence[Agent]] = (0, ()),
    ) -> Classification:
        """Return what ``forward`` does."""
        if not 1 <= len(shortlist.agents) <= len(SLOTS):
            raise ValueError(
                f"a shortlist has 1 to {len(SLOTS)} agents, got {len(shortlist.agents)}"
            )
        prior, calls = await self._prior(shortlist, knobs, reference) if knobs.prior else ({}, 0)
        said: list[SlotAnswer] = []
        answers: list[OrderAnswer] = []
        for shown in (shortlist, shortlist.in_reverse())[: knobs.orders]:
            if answers and apart(mean_belief(answers), posterior, knobs):
                break
            said.append(await self.aask(task, shown, knobs))
            answers.append(_by_name(said[-1].belief.without(prior, knobs.prior), shown.agents))
        return Classification(
            probabilities=mean_belief(answers),
            none=math.fsum(answer.none for answer in answers) / len(answers),
            answers=tuple(answers),
            left_out=shortlist.left_out,
            rubric=said[0].rubric,
            reason=said[0].reason,
            calls=calls + sum(answer.calls for answer in said),
        )

    if TYPE_CHECKING:  # DSPy types a module's call as a plain Prediction

        def __call__(self, *args: Any, **kwargs: Any) -> Classification:
            """Return what ``forward`` does."""
            ...

    def ask(self, task: str, shortlist: Shortlist, knobs: LMKnobs) -> SlotAnswer:
        """Return the belief over slots in one order, and the calls it took; for tests alone."""
        return run_to_end(self.aask(task, shortlist, knobs))

    async def aask(self, task: str, shortlist: Shortlist, knobs: LMKnobs) -> SlotAnswer:
        """Return the belief over slots in one order, and the calls it took."""
        ask = partial(
            aask, hidden=shortlist.hidden, task=one_line(task), candidates=shortlist.text()
        )
        slots = (*SLOTS[: len(shortlist.agents)], NONE_SLOT)
        if not writes(own_lm(self.select)):
            return SlotAnswer(await self._weighed(ask, slots, "decision"), 1)
        if knobs.explain or knobs.answer == "ranking":
            return await self._ranked(ask, slots, explain=knobs.explain)
        answer, logprobs = await self._selected(ask)
        belief = slot_distribution(answer, logprobs, "slot", slots)
        if belief.source != "answer" or knobs.repeats == 1:
            return SlotAnswer(belief, 1)
        if knobs.repeats == 0:
            weighed = await self._weighed(ask, slots, "verbalized")
            return SlotAnswer(belief if weighed.source == "unreadable" else weighed, 2)
        answers = [answer]
        for number in range(1, knobs.repeats):
            varied = {"temperature": _REPEAT_TEMPERATURE, "rollout_id": number}
            answers.append((await self._selected(ask, config=varied))[0])
        return SlotAnswer(repeated(answers, slots), knobs.repeats)

    async def _selected(self, ask: _Ask, **settings: Any) -> tuple[str | None, Any]:
        prediction = await ask(self.select, self._slots, **settings)
        if prediction is None:
            return None, None  # no slot in the answer: the distribution says "unreadable"
        return prediction.slot, _take_logprobs(prediction)

    async def _ranked(self, ask: _Ask, slots: Sequence[str], *, explain: bool) -> SlotAnswer:
        """Read slot, ranking, rubric and reason from one structured answer."""
        prediction = await ask(self.explain if explain else self.rank, self._structured)
        if prediction is None:
            return SlotAnswer(slot_distribution(None, None, "slot", slots), 1)
        belief = slot_distribution(prediction.slot, _take_logprobs(prediction), "slot", slots)
        if belief.source == "answer":
            pairs = [(one.slot, one.probability) for one in prediction.ranking]
            belief = ranked(prediction.slot, pairs, slots)
        if not explain:
            return SlotAnswer(belief, 1)
        reason = one_line(prediction.reason)[:_REASON_CHARACTERS]
        return SlotAnswer(belief, 1, prediction.rubric, reason)

    async def _weighed(self, ask: _Ask, slots: Sequence[str], source: Any) -> SlotDistribution:
        prediction = await ask(self.weigh, self._structured)
        said = None if prediction is None else getattr(prediction.slot, "probabilities", None)
        return given(said, slots, source)

    async def _prior(
        self, shortlist: Shortlist, knobs: LMKnobs, reference: tuple[object, Sequence[Agent]]
    ) -> tuple[dict[str, float], int]:
        """Return the LM's belief over slots for a task without content, and the calls it took.

        Contextual calibration (Zhao et al., 2021): averaged over shortlists of the registry, and
        asked as the task itself will be, once per LM, prompt and registry version.
        """
        version, agents = reference
        places = len(shortlist.agents)
        cut = [agents[i * places : (i + 1) * places] for i in range(_PRIOR_LISTS)]
        lists = [
            replace(shortlist, agents=tuple(shown), samples={}, left_out=())
            for shown in cut
            if len(shown) == places
        ]
        settings = [knobs.repeats, knobs.answer, knobs.explain]
        key = self._fingerprint(
            version,
            settings,
            [places, *(shown.text() for shown in lists)],
            sorted(shortlist.hidden),
        )
        known = self._priors.get(key)
        if known is not None:
            return known, 0
        asked = [await self.aask(CONTENT_FREE, shown, knobs) for shown in lists]
        beliefs = [answer.belief.probabilities for answer in asked]
        prior = {
            slot: math.fsum(belief[slot] for belief in beliefs) / len(beliefs)
            for slot in (beliefs[0] if beliefs else ())
        }
        self._priors.put(key, prior)
        return prior, sum(answer.calls for answer in asked)

    def _fingerprint(self, *shown: object) -> str:
        """Return a digest of all that a prior depends on: the LM, the prompts, what is shown."""
        lm = own_lm(self.select)
        prompts = [(str(each.signature), each.demos) for each in self.predictors()]
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


def apart(
    belief: Mapping[str, float], posterior: Mapping[str, float] | None, knobs: LMKnobs
) -> bool:
    """Tell whether the two best agents are further apart than ``second_order_margin``."""
    margin = knobs.second_order_margin
    if margin is None or posterior is None or len(belief) < 2:
        return False
    pooled = sorted(
        math.log(max(posterior[name], PROBABILITY_FLOOR))
        + knobs.weight * math.log(max(p, PROBABILITY_FLOOR))
        for name, p in belief.items()
    )
    return pooled[-1] - pooled[-2] >= margin


def _take_logprobs(prediction: dspy.Prediction) -> Any:
    """Return a prediction's log-probabilities and drop them from it.

    Hundreds of alternatives per token would stay in traces and demos.
    """
    logprobs = prediction.get("logprobs")
    if logprobs is not None:
        del prediction["logprobs"]
    return logprobs


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
