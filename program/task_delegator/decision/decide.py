"""Rules of the decision: when to assign, review or refuse, and when to ask the LM."""

from collections.abc import Sequence

from ..delegation import Candidate, Decision, Settled
from ..knobs import KnobValues, LMKnobs


def settled_by(
    in_scope: float, knobs: KnobValues, *, calibrated: bool, language: str | None = None
) -> Settled | None:
    """Return the reason that settles the decision at any confidence, None without one.

    The same conditions, in the same order, as ``decide``: an LM call
    would not change the decision.
    """
    if language is not None:
        return "language"
    if not calibrated:
        return "uncalibrated"
    return "out of scope" if _is_out_of_scope(in_scope, knobs) else None


def asks_lm(confidence: float, knobs: LMKnobs, settled: Settled | None) -> bool:
    """Tell whether the LM shall be asked, given retrieval's confidence and what is settled."""
    if knobs.ask_settled:
        return True
    return settled is None and knobs.gate is not None and confidence < knobs.gate


def decide(
    candidates: Sequence[Candidate],
    confidence: float,
    in_scope: float,
    knobs: KnobValues,
    *,
    calibrated: bool,
    language: str | None = None,
    named: Sequence[str] = (),
) -> tuple[Decision, str]:
    """Return the decision and the reason for it, in words that a person can act on.

    A task in a language that the embedder does not support, or for agents that the confidence was
    not calibrated for, is always reviewed: neither threshold means anything there. A task that
    names another agent than the one found is not assigned.

    Args:
        candidates: the posterior, best first, one at least.
        confidence: calibrated probability that the first candidate is right; NaN never assigns.
        in_scope: P(some agent fits), 0..1; NaN never assigns.
        knobs: the thresholds ``confidence.assign_threshold`` and ``scope.threshold``.
        calibrated: whether the numbers were calibrated for the caller's agents.
        language: the task's, where the embedder does not support it.
        named: agents that the task names.
    """
    first, *rivals = [candidate.name for candidate in candidates[:3]]
    finding = f"{first} is right with a probability of {confidence:.0%}"
    others = f"; else look at {' and '.join(rivals)}" if rivals else ""
    if language is not None:
        return "review", (
            f"The task seems to be in the language {language!r}, which the embedder does not "
            f"know: a person should read it. The guess is {first}{others}."
        )
    if not calibrated:
        return "review", (
            f"The confidence is not calibrated for this registry: a person should decide. "
            f"The guess is {first}{others}."
        )
    if _is_out_of_scope(in_scope, knobs):
        return "none", f"No agent seems to be meant for this; the closest is {first}."
    needed = knobs.confidence.assign_threshold
    if needed is None:
        return "review", f"{finding}; this program assigns nothing{others}."
    if not (confidence >= needed and in_scope >= (knobs.scope.threshold or 0.0)):
        return "review", f"{finding}, {needed:.0%} is needed to assign{others}."
    if named and first not in named:
        return "review", (
            f"The task names {' and '.join(named[:3])} but reads like one for {first} "
            f"({confidence:.0%}{others}): a person should look."
        )
    return "assign", f"{finding}{f', ahead of {rivals[0]}' if rivals else ''}."


def _is_out_of_scope(in_scope: float, knobs: KnobValues) -> bool:
    return knobs.scope.threshold is not None and in_scope < knobs.scope.threshold
