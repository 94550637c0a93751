"""Rules of the decision: when to assign, review or refuse, and when to ask the LM."""

from collections.abc import Sequence
from typing import Literal, TypeAlias

from ..delegation import Candidate, Decision, Settled
from ..knobs import LMKnobs, Thresholds
from ..text import printable
from .confidence import above_floor, at_even_odds

Unmeasured: TypeAlias = Literal["first", "changed", "registry", "excluded"]
_NEARLY = 0.995  # confidence that would be rounded to certainty
_UNLIKELY = 0.25  # confidence below which the reason opens with that nobody is likely


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
    elsewhere: bool = False,
    language: str | None = None,
    described_in: str | None = None,
    named: Sequence[str] = (),
    by_name: bool = False,
    repeated: int = 0,
    unmeasured: Unmeasured | None = None,
    without_quoted: str | None = None,
    in_part: bool = False,
) -> tuple[Decision, str]:
    """Return the decision and the reason for it, in words that a person can act on.

    A task or an agent in a language that the embedder does not support, or agents that the
    confidence was not calibrated for: that is reviewed, as neither threshold means anything there.
    A user who trusts the program's own scale all the same is never told "none", and the floor does
    not hold. A task is not assigned that names another agent than the one found, or found it by
    its name alone, repeats at length what it says of itself, reads otherwise without what it
    quotes, or needs several agents.

    Args:
        candidates: the posterior, best first, one at least.
        confidence, in_scope: calibrated probabilities that the first candidate is right, and that
            some agent fits; NaN never assigns.
        thresholds: what they are compared with.
        calibrated, trusted: whether the numbers were calibrated for the caller's agents, and
            whether the confidence is believed where they were not.
        elsewhere: whether the confidence is that of other registries, or an LM's own word.
        language, described_in: the task's and the first agent's, where the embedder does not
            support it.
        named: agents that the task names.
        by_name: whether the first is first for nothing but its name in the task.
        repeated: words of the task that repeat what the first agent says of itself.
        unmeasured: for whom they were not: one agent, all, or where some are excluded.
        without_quoted: for whom it is without what it quotes or says is fine; None for the same.
        in_part: whether it surely needs several agents.
    """
    first, *rivals = [printable(candidate.name) for candidate in candidates[:3]]
    others = f"; else look at {' and '.join(rivals)}" if rivals else ""
    if (foreign := _foreign(language, described_in, first, others)) is not None:
        return "review", foreign
    if not calibrated and not trusted:
        believed = _finding(first, confidence) if elsewhere else None
        return "review", _unbelieved(believed, first, others, unmeasured)
    if by_name:
        other = rivals[0] if rivals else "another"
        return "review", (
            f"The task names {first}, but reads more like one for {other}: a person should look."
        )
    if not calibrated and not elsewhere:  # a scale for other agents says no "none"
        thresholds = Thresholds(thresholds.assign, in_scope=None)
    meant, least = candidates[0].name in named, thresholds.in_scope or 0.0
    if not meant and in_scope < least:
        return "none", f"No agent seems to be meant for this; the closest is {first}."
    if (unsure := _unsure(first, confidence, in_scope, thresholds)) is not None:
        return "review", f"{unsure}{others}."
    if against := _objection(first, () if meant else named, without_quoted, repeated, in_part):
        return "review", f"{against} ({confidence:.0%}{others}): a person should look."
    ahead = f", ahead of {rivals[0]}" if rivals else ""
    return "assign", f"{_finding(first, confidence, assigned=True)}{ahead}."


def _foreign(language: str | None, described_in: str | None, first: str, others: str) -> str | None:
    """Return why a person reads what the embedder cannot, None where it can.

    Args:
        language, described_in: as of ``decide``.
        first, others: the guess, and whom else to look at.
    """
    if language is not None:
        return (
            f"The task seems to be in the language {language!r}, which the embedder does not "
            f"know: a person should read it. The guess is {first}{others}."
        )
    if described_in is not None:
        return (
            f"{first} is described in the language {described_in!r}, which the embedder does not "
            f"know: a person should decide{others}."
        )
    return None


def _finding(
    first: str, confidence: float, shown: str | None = None, *, assigned: bool = False
) -> str:
    """Return how likely the first agent is right, as the beginning of a sentence."""
    shown = shown or (f"{confidence:.0%}" if confidence < _NEARLY else "more than 99%")
    if confidence < _UNLIKELY and not assigned:
        return f"No agent is likely: {first}, the closest, is right with {shown}"
    return f"{first} is right with a probability of {shown}"


def _unsure(first: str, confidence: float, in_scope: float, thresholds: Thresholds) -> str | None:
    """Return why an assignment is not sure enough, None where it is; arguments as of ``decide``."""
    finding = _finding(first, confidence)
    if thresholds.assign is None:
        return f"{finding}; this program assigns nothing"
    if not confidence >= thresholds.assign:
        own, needed = _told_apart(confidence, thresholds.assign)
        return f"{_finding(first, confidence, own)}, {needed} is needed to assign"
    if not in_scope >= (thresholds.in_scope or 0.0):
        return f"{finding}, but it is only {in_scope:.0%} likely that any agent fits"
    if not above_floor(confidence, in_scope, thresholds):
        even = at_even_odds(confidence, in_scope, thresholds.share)
        own, needed = _told_apart(even, thresholds.floor or 0.0)
        return (
            f"{finding}, but {own} if every second task were for nobody, where {needed} is needed "
            "to assign"
        )
    return None


def _objection(
    first: str, named: Sequence[str], without_quoted: str | None, repeated: int, in_part: bool
) -> str | None:
    """Return what speaks against an assignment that is sure enough, None where nothing does.

    Args:
        first: the first agent.
        named: others that the task names.
        without_quoted, repeated, in_part: as of ``decide``.
    """
    if named:
        wanted = " and ".join(map(printable, named[:3]))
        return f"The task names {wanted} but reads like one for {first}"
    if without_quoted is not None:
        other = printable(without_quoted)
        return f"Without what it quotes or says is fine the task reads like one for {other}"
    if repeated:
        return f"The task repeats {repeated} words of what {first} says of itself"
    return f"{first} seems to be right for one part of the task" if in_part else None


def _told_apart(less: float, more: float) -> tuple[str, str]:
    """Return two shares in percent, with as many digits as tell them apart, two at most."""
    shown = [(f"{less:.{digits}%}", f"{more:.{digits}%}") for digits in range(3)]
    return next((pair for pair in shown if pair[0] != pair[1]), shown[-1])


def _unbelieved(
    elsewhere: str | None, first: str, others: str, unmeasured: Unmeasured | None
) -> str:
    """Return why a person decides where the program was not calibrated for the caller's agents.

    Args:
        elsewhere: what other registries say of the first; None where they say nothing.
        first, others: the guess, and whom else to look at.
        unmeasured: as of ``decide``.
    """
    if unmeasured == "first":
        return (
            f"{first} has no sample requests, which the confidence was calibrated on: a person "
            f"should decide{others}."
        )
    if unmeasured == "changed":
        guess = f"{elsewhere}, as other registries show" if elsewhere else f"The guess is {first}"
        return (
            f"{guess}; an agent that may be meant is new or has changed since the confidence was "
            f"calibrated: a person should decide{others}."
        )
    if elsewhere is None:
        why = "The confidence is not calibrated for this registry"
        if unmeasured == "excluded":
            why = "How sure this is was not measured where agents are excluded"
        return f"{why}: a person should decide. The guess is {first}{others}."
    return (
        f"{elsewhere}, as other registries show; the program was not calibrated for this one: "
        f"a person should decide{others}."
    )
