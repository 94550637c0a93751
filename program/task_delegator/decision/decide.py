"""Rules of the decision: when to assign, review or refuse, and when to ask the LM."""

from collections.abc import Sequence
from dataclasses import dataclass

from ..delegation import TOP, CalibratedBy, Candidate, Decision, Settled
from ..knobs import LMKnobs, Thresholds
from ..text import printable
from .confidence import above_floor, at_even_odds
from .coverage import COVERED, Coverage, Gap

_NEARLY = 0.995  # confidence that would be rounded to certainty
_UNLIKELY = 0.25  # confidence below which the reason opens with that nobody is likely


def settled_by(*, calibrated: bool, language: str | None = None) -> Settled | None:
    """Return what settles a decision before an LM is asked, None where nothing does.

    As long as its first place stays, ``decide`` reviews what is settled, whatever the probabilities
    are. It reviews more than that: where the confidence of other registries would count and this
    one is of another size than they are, only an LM's own word can decide otherwise.

    Args:
        calibrated: whether some confidence may count: the program's own, or what may stand in for
            it (``Coverage.own``, ``Coverage.borrowed``).
        language: the task's or the first agent's, where the embedder does not support it.
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


@dataclass(frozen=True, slots=True)
class Doubts:
    """What speaks against an assignment however sure the confidence is.

    Attributes:
        language, described_in: the task's and the first agent's, where the embedder does not
            support it.
        named: agents that the task names.
        by_name: whether the first is first for nothing but its name in the task.
        repeated_words: of the task that repeat what the first agent says of itself.
        without_quoted: for whom the task is without what it quotes or says is fine; None for the
            same.
        in_part: whether it surely needs several agents.
        opposite: what it asks for, and the operation of the first agent that undoes it; None for
            nothing of the kind.
    """

    language: str | None = None
    described_in: str | None = None
    named: Sequence[str] = ()
    by_name: bool = False
    repeated_words: int = 0
    without_quoted: str | None = None
    in_part: bool = False
    opposite: tuple[str, str] | None = None


UNDOUBTED = Doubts()


def decide(
    candidates: Sequence[Candidate],
    confidence: float,
    in_scope: float,
    thresholds: Thresholds,
    coverage: Coverage = COVERED,
    source: CalibratedBy | None = None,
    doubts: Doubts = UNDOUBTED,
) -> tuple[Decision, str]:
    """Return the decision and the reason for it, in words that a person can act on.

    A task or an agent in a language that the embedder does not support, or agents that the
    confidence was not calibrated for: that is reviewed, as neither threshold means anything there.
    A user who trusts the program's own scale all the same is never told "none", and the floor does
    not hold. A task is not assigned that names another agent than the one found, or found it by
    its name alone, repeats at length what it says of itself, reads otherwise without what it
    quotes, asks for the opposite of what it does, or needs several agents. Nor is a task told
    "none" that names an agent.

    Args:
        candidates: the posterior, best first, one at least.
        confidence, in_scope: calibrated probabilities that the first candidate is right, and that
            some agent fits; NaN never assigns.
        thresholds: what they are compared with.
        coverage: for whom the program was calibrated.
        source: of a confidence that is not the program's own: other ``registries``, or an
            ``lm``'s word.
        doubts: what else is known of the task.
    """
    first, *rivals = [printable(candidate.name) for candidate in candidates[:TOP]]
    others = f"; else look at {' and '.join(rivals)}" if rivals else ""
    if (foreign := _foreign(doubts, first, others)) is not None:
        return "review", foreign
    calibrated = coverage.complete and source != "lm"
    if not calibrated and not coverage.believes(source):
        believed = _finding(first, confidence) if source is not None else None
        return "review", _unbelieved(believed, first, others, coverage.gap)
    if doubts.by_name:
        other = rivals[0] if rivals else "another"
        return "review", (
            f"The task names {first}, but reads more like one for {other}: a person should look."
        )
    if not calibrated and source is None:  # a scale for other agents says no "none"
        thresholds = Thresholds(thresholds.assign, in_scope=None)
    meant, least = candidates[0].name in doubts.named, thresholds.in_scope or 0.0
    if not doubts.named and in_scope < least:
        return "none", f"No agent seems to be meant for this; the closest is {first}."
    if (unsure := _unsure(first, confidence, in_scope, thresholds)) is not None:
        named = "" if meant else _named(doubts)
        told = f" The task names {named}." if named else ""
        return "review", f"{unsure}{others}.{told}"
    if against := _objection(first, doubts, meant=meant):
        return "review", f"{against} ({confidence:.0%}{others}): a person should look."
    ahead = f", ahead of {rivals[0]}" if rivals else ""
    return "assign", f"{_finding(first, confidence, assigned=True)}{ahead}."


def _foreign(doubts: Doubts, first: str, others: str) -> str | None:
    """Return why a person reads what the embedder cannot, None where it can.

    Args:
        doubts: what is known of the task.
        first, others: the guess, and whom else to look at.
    """
    if doubts.language is not None:
        return (
            f"The task seems to be in the language {doubts.language!r}, which the embedder does "
            f"not know: a person should read it. The guess is {first}{others}."
        )
    if doubts.described_in is not None:
        return (
            f"{first} is described in the language {doubts.described_in!r}, which the embedder "
            f"does not know: a person should decide{others}."
        )
    return None


def _finding(
    first: str, confidence: float, shown: str | None = None, *, assigned: bool = False
) -> str:
    """Return how likely the first agent is right, as the beginning of a sentence."""
    shown = shown or (f"{confidence:.0%}" if confidence < _NEARLY else "more than 99%")
    if confidence < _UNLIKELY and not assigned:
        return f"No agent is likely: the closest, {first}, is right with a probability of {shown}"
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


def _objection(first: str, doubts: Doubts, *, meant: bool) -> str | None:
    """Return what speaks against an assignment that is sure enough, None where nothing does.

    Args:
        first: the first agent.
        doubts: what is known of the task.
        meant: whether the task names the first.
    """
    if not meant and (wanted := _named(doubts)):
        return f"The task names {wanted} but reads like one for {first}"
    if doubts.without_quoted is not None:
        other = printable(doubts.without_quoted)
        return (
            "Without what it quotes, or says is fine or not so, the task reads like one for "
            f"{other}, and with it for {first}"
        )
    if doubts.opposite is not None:
        asked, own = doubts.opposite
        return f"The task seems to ask to {asked}, and {first} is there to {own}"
    if doubts.repeated_words:
        return f"The task repeats {doubts.repeated_words} words of what {first} says of itself"
    return f"{first} seems to be right for one part of the task" if doubts.in_part else None


def _named(doubts: Doubts) -> str:
    """Return the agents that a task names, three at most; empty for none."""
    return " and ".join(map(printable, doubts.named[:3]))


def _told_apart(less: float, more: float) -> tuple[str, str]:
    """Return two shares in percent, with as many digits as tell them apart, two at most."""
    shown = [(f"{less:.{digits}%}", f"{more:.{digits}%}") for digits in range(3)]
    return next((pair for pair in shown if pair[0] != pair[1]), shown[-1])


def _unbelieved(elsewhere: str | None, first: str, others: str, gap: Gap | None) -> str:
    """Return why a person decides where the program was not calibrated for the caller's agents.

    Args:
        elsewhere: what other registries say of the first; None where they say nothing.
        first, others: the guess, and whom else to look at.
        gap: for whom the program was not calibrated.
    """
    if gap == "first":
        return (
            f"{first} has no sample requests, which the confidence was calibrated on: a person "
            f"should decide{others}."
        )
    if gap == "changed":
        guess = f"{elsewhere}, as other registries show" if elsewhere else f"The guess is {first}"
        return (
            f"{guess}; an agent that may be meant is new or has changed since the confidence was "
            f"calibrated: a person should decide{others}."
        )
    if elsewhere is None:
        why = "The confidence is not calibrated for this registry"
        if gap == "excluded":
            why = "How sure this is was not measured where agents are excluded"
        return f"{why}: a person should decide. The guess is {first}{others}."
    return (
        f"{elsewhere}, as other registries show; the program was not calibrated for this one: "
        f"a person should decide{others}."
    )
