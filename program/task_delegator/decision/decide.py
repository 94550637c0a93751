"""Rules of the decision: when to assign, review or refuse, and when to ask the LM."""

from collections.abc import Sequence

from ..delegation import Candidate, Decision, Settled
from ..knobs import LMKnobs, Thresholds
from ..text import printable
from .confidence import above_floor, at_even_odds


def settled_by(*, calibrated: bool, language: str | None = None) -> Settled | None:
    """Return what settles the decision whatever the probabilities are, None where nothing does.

    The same conditions, in the same order, as ``decide``: an LM is asked in vain there.
    """
    if language is not None:
        return "language"
    return None if calibrated else "uncalibrated"


def decision_certainty(confidence: float, in_scope: float, thresholds: Thresholds) -> float:
    """Return how sure the less sure answer is, 0..1: which agent is right, and does any fit.

    An LM is asked where retrieval is not sure enough to assign, or not sure that anything fits.
    Without a threshold for "none", that some agent fits is taken for granted.
    """
    if thresholds.in_scope is None:
        return confidence
    return min(confidence, max(in_scope, 1.0 - in_scope))


def asks_lm(certainty: float, knobs: LMKnobs, settled: Settled | None) -> bool:
    """Tell whether the LM shall be asked, given how certain the decision without it is."""
    if knobs.ask_settled:
        return True
    return settled is None and knobs.gate is not None and certainty < knobs.gate


def decide(
    candidates: Sequence[Candidate],
    confidence: float,
    in_scope: float,
    thresholds: Thresholds,
    *,
    calibrated: bool,
    trusted: bool = False,
    transferred: bool = False,
    language: str | None = None,
    named: Sequence[str] = (),
    by_name: bool = False,
    repeated: int = 0,
) -> tuple[Decision, str]:
    """Return the decision and the reason for it, in words that a person can act on.

    A task in a language that the embedder does not support, or for agents that the confidence was
    not calibrated for, is reviewed: neither threshold means anything there. A user who trusts the
    confidence all the same is never told "none", and the floor does not hold. A task that names
    another agent than the one found, or found it by its name alone, or repeats at length what it
    says of itself, is not assigned. The reason is one line.

    Args:
        candidates: the posterior, best first, one at least.
        confidence, in_scope: calibrated probabilities that the first candidate is right, and that
            some agent fits; NaN never assigns.
        thresholds: what they are compared with.
        calibrated, trusted: whether the numbers were calibrated for the caller's agents, and
            whether the confidence is believed where they were not.
        transferred: whether the confidence is that of other registries.
        language, named: the task's, where the embedder does not support it; agents it names.
        by_name: whether the first is first for nothing but its name in the task.
        repeated: words of the task that repeat what the first agent says of itself.
    """
    first, *rivals = [printable(candidate.name) for candidate in candidates[:3]]
    finding = f"{first} is right with a probability of {confidence:.0%}"
    others = f"; else look at {' and '.join(rivals)}" if rivals else ""
    if language is not None:
        return "review", (
            f"The task seems to be in the language {language!r}, which the embedder does not "
            f"know: a person should read it. The guess is {first}{others}."
        )
    if not calibrated and not trusted:
        return "review", _unbelieved(finding if transferred else None, first, others)
    guess = f"({confidence:.0%}{others}): a person should look."
    if by_name:
        return "review", f"The task names {first}, and nothing else speaks for it {guess}"
    meant = candidates[0].name in named
    least = (calibrated and thresholds.in_scope) or 0.0
    if not meant and in_scope < least:
        return "none", f"No agent seems to be meant for this; the closest is {first}."
    if thresholds.assign is None:
        return "review", f"{finding}; this program assigns nothing{others}."
    if not (confidence >= thresholds.assign and in_scope >= least):
        return "review", f"{finding}, {thresholds.assign:.0%} is needed to assign{others}."
    if calibrated and not above_floor(confidence, in_scope, thresholds):
        return "review", f"{finding}, {_too_few_fit(confidence, in_scope, thresholds)}{others}."
    if named and not meant:
        wanted = " and ".join(map(printable, named[:3]))
        return "review", f"The task names {wanted} but reads like one for {first} {guess}"
    if repeated:
        return "review", f"The task repeats {repeated} words of what {first} says of itself {guess}"
    return "assign", f"{finding}{f', ahead of {rivals[0]}' if rivals else ''}."


def _too_few_fit(confidence: float, in_scope: float, thresholds: Thresholds) -> str:
    """Return how far a confidence is below the floor."""
    even = at_even_odds(confidence, in_scope, thresholds.share)
    return (
        f"but {even:.0%} if every second task were for nobody, where {thresholds.floor or 0.0:.0%} "
        "is needed to assign"
    )


def _unbelieved(elsewhere: str | None, first: str, others: str) -> str:
    """Return why a person decides where the program was not calibrated for the caller's agents.

    Args:
        elsewhere: what other registries say of the first; None where they say nothing.
        first, others: the guess, and whom else to look at.
    """
    if elsewhere is None:
        return (
            f"The confidence is not calibrated for this registry: a person should decide. "
            f"The guess is {first}{others}."
        )
    return (
        f"{elsewhere}, as other registries show; the program was not calibrated for this one: "
        f"a person should decide{others}."
    )
