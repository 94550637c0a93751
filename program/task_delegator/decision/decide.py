"""The posterior with the LM's word in it, and the decision that follows from it."""

from collections.abc import Sequence

from ..delegation import Candidate, Decision, Settled
from ..knobs import KnobValues


def settled_by(
    fits: float, knobs: KnobValues, *, calibrated: bool, language: str | None = None
) -> Settled | None:
    """Return what settles the decision whatever the confidence is, None where nothing does.

    The same conditions, in the same order, as ``decide``: an LM that is asked for more
    confidence is asked in vain.
    """
    if language is not None:
        return "language"
    if not calibrated:
        return "uncalibrated"
    return "out of scope" if fits < knobs.fits else None


def decide(
    candidates: Sequence[Candidate],
    confidence: float,
    fits: float,
    knobs: KnobValues,
    *,
    calibrated: bool,
    language: str | None = None,
    named: Sequence[str] = (),
) -> tuple[Decision, str]:
    """Return the decision and the reason for it, in words that a person can act on.

    A task in a language that the embedder does not know is never assigned, and never said
    to fit nobody: too little of it was understood. The same holds for a registry that the
    confidence was not calibrated for: neither threshold means anything there. Nor is a task
    assigned that names another agent than the one found: its text was read without the name.

    Args:
        candidates: the posterior, best first, one at least.
        confidence: calibrated probability that the first candidate is right; NaN never assigns.
        fits: how likely it is that some agent fits.
        knobs: the thresholds, ``assign`` and ``fits``.
        calibrated: whether the numbers were calibrated for the caller's agents.
        language: the task's, where the embedder does not know it.
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
    if fits < knobs.fits:
        return "none", f"No agent seems to be meant for this; the closest is {first}."
    if not (confidence >= knobs.assign and fits >= knobs.fits):
        return "review", f"{finding}, {knobs.assign:.0%} is needed to assign{others}."
    if named and first not in named:
        return "review", (
            f"The task names {' and '.join(named[:3])} but reads like one for {first} "
            f"({confidence:.0%}{others}): a person should look."
        )
    return "assign", f"{finding}{f', ahead of {rivals[0]}' if rivals else ''}."
