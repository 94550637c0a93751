"""Read the slot distribution from the token log-probabilities of an LM's answer."""

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from ..decision import PROBABILITY_FLOOR
from ..signatures import NONE_SLOT, SLOTS

ANSWER_SHARE = 0.6  # belief in a bare answer without log-probabilities; the rest is spread
_MOST_PERCENT = 50.0  # that numbers beyond 1 add up to, where they are percentages
_SPREAD = 0.01  # that a written ranking leaves at least to the slots it does not name
_ROUNDING = 1e-6  # that a probability may be above 1, or its logarithm above 0

Source = Literal["logprobs", "answer", "repeated", "verbalized", "decision", "unreadable"]


@dataclass(frozen=True, slots=True)
class SlotDistribution:
    """Say how an LM spread its belief over the offered slots.

    Attributes:
        probabilities: one per offered slot, summing to 1.
        mass: probability that the offered slots had before renormalizing; None where that is
            all, or the LM gave no log-probabilities.
        source: ``logprobs``, ``answer`` (a bare answer stands in for them), ``repeated``
            (shares of several answers), ``verbalized`` (the LM wrote it down), ``decision``
            (a System One backend's own) or ``unreadable`` (no offered slot was answered: the
            distribution is flat).
    """

    probabilities: dict[str, float]
    mass: float | None
    source: Source

    def without(self, prior: Mapping[str, float], power: float) -> "SlotDistribution":
        """Return the distribution with a prior divided out, raised to a power; {} for none."""
        if not prior or self.source == "unreadable":
            return self
        weights = {
            slot: p / max(prior[slot], PROBABILITY_FLOOR) ** power
            for slot, p in self.probabilities.items()
        }
        total = math.fsum(weights.values())
        return replace(self, probabilities={s: weight / total for s, weight in weights.items()})


def slot_distribution(
    answer: str | None, logprobs: Any, field: str, slots: Sequence[str]
) -> SlotDistribution:
    """Return the distribution over the offered slots.

    Log-probabilities are often those before the grammar's mask, so that other tokens
    fill the top. A slot that is not among the reported alternatives is given the
    least of them: an upper bound, never 0.

    Args:
        answer: the parsed answer, None where it could not be parsed.
        logprobs: what the provider returned, as DSPy hands it on, or None. Where the slot's
            are no finite logarithms of probabilities, nothing is believed.
        field: name of the output field that holds the slot.
        slots: the offered slots.
    """
    try:
        alternatives = _alternatives(logprobs, field)
    except ValueError:
        return _flat(slots)
    seen: dict[str, float] = {}
    for token, logprob in alternatives:
        slot = _slot(token)
        if slot in slots:
            seen[slot] = seen.get(slot, 0.0) + math.exp(logprob)
    if seen and len(alternatives) > 1:  # one alternative is the answer itself: no distribution
        floor = math.exp(min(logprob for _, logprob in alternatives))
        weights = {slot: seen.get(slot, floor) for slot in slots}
        total = math.fsum(weights.values())
        if total > 0:
            probabilities = {slot: weight / total for slot, weight in weights.items()}
            return SlotDistribution(probabilities, min(math.fsum(seen.values()), 1.0), "logprobs")
    if answer in slots:
        rest = (1.0 - ANSWER_SHARE) / len(slots)
        probabilities = {slot: rest + ANSWER_SHARE * (slot == answer) for slot in slots}
        return SlotDistribution(probabilities, None, "answer")
    return _flat(slots)


def repeated(answers: Sequence[str | None], slots: Sequence[str]) -> SlotDistribution:
    """Return the shares of several answers, with one answer spread over all (Perks).

    Self-consistency (Wang et al., 2023) as a distribution; unreadable answers do not count.
    """
    read = [answer for answer in answers if answer in slots]
    if not read:
        return _flat(slots)
    share = 1 / len(slots)
    return SlotDistribution(
        {slot: (read.count(slot) + share) / (len(read) + 1) for slot in slots}, None, "repeated"
    )


def given(probabilities: Any, slots: Sequence[str], source: Source) -> SlotDistribution:
    """Return a distribution that came as such, renormalized over the offered slots.

    Args:
        probabilities: by slot, as the LM said it; slots that are left out have none. Anything
            that is no mapping to probabilities is unreadable.
        slots: the offered slots.
        source: of a readable distribution.
    """
    if not isinstance(probabilities, Mapping):
        return _flat(slots)
    offered = {slot: probabilities.get(slot, 0.0) for slot in slots}
    if not all(_is_number(p) and 0 <= p <= 1 + _ROUNDING for p in probabilities.values()):
        return _flat(slots)
    total = math.fsum(offered.values())
    if total <= 0:
        return _flat(slots)
    shares = {slot: p / total for slot, p in offered.items()}
    # Of denormal numbers the shares need not be finite, nor sum to 1.
    if not math.isclose(math.fsum(shares.values()), 1.0):
        return _flat(slots)
    return SlotDistribution(shares, min(total, 1.0), source)


def ranked(
    answer: str, pairs: Sequence[tuple[str, float]], slots: Sequence[str]
) -> SlotDistribution:
    """Return a distribution from the likeliest slots with probabilities, as the LM wrote them.

    What they leave of 1 is spread evenly over the offered slots that are not ranked; a ranking
    that is not led by the answer, or no probabilities, leaves the bare answer. Percentages that
    account for most of a hundred are read as such.

    Args:
        answer: the slot that was answered.
        pairs: slots with probabilities; later mentions of a slot do not count.
        slots: the offered slots.
    """
    bare = slot_distribution(answer, None, "slot", slots)
    said: dict[str, float] = {}
    for slot, probability in _fractions(pairs):
        if slot in slots and _is_number(probability) and 0 <= probability <= 1 + _ROUNDING:
            said.setdefault(slot, float(probability))
    total = math.fsum(said.values())
    if bare.source != "answer" or total <= 0 or max(said, key=lambda slot: said[slot]) != answer:
        return bare
    scale = 1 / max(total, 1.0)
    others = [slot for slot in slots if slot not in said]
    rest = max(1.0 - total, _SPREAD) / max(len(others), 1) if others else 0.0
    weights = {slot: said[slot] * scale if slot in said else rest for slot in slots}
    whole = math.fsum(weights.values())
    shares = {slot: weight / whole for slot, weight in weights.items()}
    mass = whole if whole < 1.0 - _ROUNDING else None  # of a ranking that leaves nobody out
    return SlotDistribution(shares, mass, "verbalized")


def _fractions(pairs: Sequence[tuple[str, float]]) -> Sequence[tuple[str, float]]:
    """Return probabilities that were written in percent in parts of 1, others as they are."""
    written = [probability for _, probability in pairs]
    if not written or not all(_is_number(p) and 0 <= p <= 100 for p in written):
        return pairs
    total = math.fsum(written)
    if max(written) <= 1 + _ROUNDING or not _MOST_PERCENT <= total <= 100 * (1 + _ROUNDING):
        return pairs
    return [(slot, probability / 100) for slot, probability in pairs]


def _flat(slots: Sequence[str]) -> SlotDistribution:
    return SlotDistribution(dict.fromkeys(slots, 1.0 / len(slots)), None, "unreadable")


def _alternatives(logprobs: Any, field: str) -> list[tuple[str, float]]:
    """Return (token, log-probability) at the place where the field's slot stands.

    The slot answered may be one that was not offered.

    Raises:
        ValueError: what stands there are no tokens and log-probabilities.
    """
    tokens = _get(logprobs, "content")
    if tokens is None:
        return []
    spelled = [(token, _token(token)) for token in _items(tokens)]
    opened = _end_of_opening("".join(text for _, text in spelled), field)
    if opened is None:
        return []
    position = 0
    for token, text in spelled:
        start, position = position, position + len(text)
        if start >= opened and _slot(text) in (*SLOTS, NONE_SLOT):
            top = _get(token, "top_logprobs") or [token]
            return [(_token(each), _logprob(each)) for each in _items(top)]
    return []


def _end_of_opening(answer: str, field: str) -> int | None:
    """Return where what names a field ends, as DSPy's adapters write it; None where none does."""
    for name in (f'"{field}"', f"## {field} ##", f"<{field}"):
        start = answer.find(name)
        if start >= 0:
            return start + len(name)
    return None


def _slot(token: str) -> str:
    """Return a token without what tokenizers merge with a slot: a colon, a space, a bracket."""
    return token.strip(' \n\t":<>/[]')


def _items(value: Any) -> list[Any]:
    if not isinstance(value, list | tuple):
        raise ValueError(f"a list was expected, got {type(value).__name__}")
    return list(value)


def _token(value: Any) -> str:
    token = _get(value, "token")
    if not isinstance(token, str):
        raise ValueError(f"a token was expected, got {type(token).__name__}")
    return token


def _logprob(value: Any) -> float:
    logprob = _get(value, "logprob")
    if not _is_number(logprob) or logprob > _ROUNDING:
        raise ValueError("a log-probability was expected")
    return float(logprob)


def _is_number(value: Any) -> bool:
    """Tell whether a value is a finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return bool(abs(value) <= sys.float_info.max)  # not of NaN, nor of huge integers


def _get(value: Any, key: str) -> Any:
    """Read a key of DSPy's native dict or an attribute of LiteLLM's object."""
    return value.get(key) if isinstance(value, dict) else getattr(value, key, None)
