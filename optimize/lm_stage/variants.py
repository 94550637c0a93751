"""Ways of asking the LM, compared on the same requests: cards, orders, prior, prompt."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import dspy
import numpy as np

from optimize.config import PRESETS
from optimize.data import Request
from optimize.evaluation import Outcome, delegate_all
from optimize.lm_stage.weight import cross_validated_gains, gain_curve, said_by_lm
from task_delegator.delegator import Delegator
from task_delegator.stages import Card

OPTIMIZED = "optimized prompt"
_ERRORS = 1.0  # standard errors within which a cheaper way of asking is as good


@dataclass(frozen=True, slots=True)
class Variant:
    """One way of asking, and what the LM answered.

    Attributes:
        knobs: that make it, by dotted name.
        select: its prompt.
        outcomes: one per request.
        orders: of the answers that count, 1 or 2.
    """

    knobs: Mapping[str, Any]
    select: dspy.Predict
    outcomes: Sequence[Outcome]
    orders: int = 1

    @property
    def tokens(self) -> float:
        """LM tokens per request, of the orders that count."""
        used = [outcome.delegation.usage for outcome in self.outcomes]
        answers = sum(len(said_by_lm(outcome).answers) for outcome in self.outcomes)
        return sum(usage.tokens for usage in used) / max(answers, 1) * self.orders


@dataclass(frozen=True, slots=True)
class Choice:
    """The chosen way of asking.

    Attributes:
        name: of the variant.
        gains: per variant, what the LM adds to the log-likelihood of the right agent,
            cross-validated: mean and standard error over the requests.
        tokens: per variant, LM tokens per request.
    """

    name: str
    gains: dict[str, tuple[float, float]]
    tokens: dict[str, float] = field(default_factory=dict)


def ask_variants(
    program: Delegator,
    requests: Sequence[Request],
    lm: dspy.BaseLM,
    optimized: dspy.Predict | None,
    cards: Sequence[Card] = PRESETS["full"].cards,
) -> dict[str, Variant]:
    """Ask the LM about the requests in every way that is compared.

    The first card is asked in both orders, so that one order and two are compared on the same
    answers.

    Args:
        program: its LM knobs are those that no variant changes.
        optimized: the prompt that an optimizer made; None without one.
        cards: that are compared; the other ways show the first. A brief one only an LM that
            gives log-probabilities is asked with, unless it is the first.
    """
    plain, card = program.classify.select, {"lm.card": cards[0]}

    def asked(knobs: dict[str, Any], select: dspy.Predict = plain, orders: int = 1) -> Variant:
        knobs = knobs | {"lm.orders": orders}
        return Variant(knobs, select, ask(program, requests, lm, select, knobs), orders)

    both = asked(card, orders=2)
    found = {
        named(cards[0]): Variant(card | {"lm.orders": 1}, plain, both.outcomes, 1),
        f"{named(cards[0])}, two orders": both,
    }
    logprobs = _has_logprobs(both.outcomes)
    found |= {
        named(other): asked({"lm.card": other})
        for other in cards[1:]
        if logprobs or other != "brief"
    }
    if logprobs:
        if flip_rate(both.outcomes) > 0:  # else there is no preference for a place to divide out
            found["prior divided out"] = asked(card | {"lm.prior": 1.0})
    else:
        found["ranking"] = asked(card | {"lm.answer": "ranking"})
    if optimized is not None:
        found[OPTIMIZED] = asked(card, optimized)
    return found


def named(card: Card) -> str:
    """Return what the way of asking with a card is called."""
    return f"{card} card"


def flip_rate(outcomes: Sequence[Outcome]) -> float:
    """Return how often the LM's pick changes when the shortlist is reversed, 0..1."""
    picks = [{a.picked for a in said_by_lm(outcome).answers} for outcome in outcomes]
    return float(np.mean([len(picked) > 1 for picked in picks]))


def _has_logprobs(outcomes: Sequence[Outcome]) -> bool:
    """Tell whether the LM gave log-probabilities, or a distribution of its own."""
    sources = {said_by_lm(outcome).answers[0].source for outcome in outcomes}
    return bool(sources & {"logprobs", "decision"})


def ask(
    program: Delegator,
    requests: Sequence[Request],
    lm: dspy.BaseLM,
    select: dspy.Predict,
    knobs: Mapping[str, Any],
) -> list[Outcome]:
    """Ask the LM about every request; its answers have no weight yet."""
    student = opened(program, {"lm.orders": 1, "lm.weight": 0.0, **knobs})
    student.classify.select = select
    with dspy.context(lm=lm):
        return delegate_all(student, requests, "ask the LM")


def choose_variant(variants: Mapping[str, Variant], seed: int) -> Choice:
    """Choose the cheapest variant within a standard error of the one that adds most.

    The error is that of the paired difference (one-standard-error rule, Breiman et al., 1984).
    """
    curves = {
        name: [gain_curve(outcome, variant.orders) for outcome in variant.outcomes]
        for name, variant in variants.items()
    }
    gains = {name: cross_validated_gains(own, seed) for name, own in curves.items()}
    best = max(gains, key=lambda name: float(gains[name].mean()))

    def close(name: str) -> bool:
        lost = gains[best] - gains[name]
        return bool(lost.mean() <= _ERRORS * lost.std() / np.sqrt(len(lost)))

    tokens = {name: variant.tokens for name, variant in variants.items()}
    chosen = min(filter(close, gains), key=lambda name: (tokens[name], -gains[name].mean()))
    return Choice(chosen, {name: summary_of(own) for name, own in gains.items()}, tokens)


def summary_of(gains: np.ndarray) -> tuple[float, float]:
    """Return mean and standard error of gains, shape (n,)."""
    return float(gains.mean()), float(gains.std() / np.sqrt(len(gains)))


def opened(program: Delegator, knobs: Mapping[str, Any] | None = None) -> Delegator:
    """Return a copy with other knobs that asks the LM about every task."""
    copy = program.deepcopy()
    copy.knobs.set({"lm.ask_settled": True} | dict(knobs or {}))
    return copy
