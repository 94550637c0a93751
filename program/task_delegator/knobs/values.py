"""Every number of a compiled program together, read, replaced and checked by name."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from .group import KnobGroup
from .probabilities import (
    ConfidenceKnobs,
    ScopeKnobs,
    SplitKnobs,
    TransferKnobs,
    TransferWeights,
)
from .stages import MOST_SHOWN, ExpansionKnobs, LMKnobs, RetrievalKnobs

# What programs had no number for before; without it they decide as they did.
_LATER = frozenset(
    [f"confidence.{model}.{name}" for model in ("correct", "correct_with_lm")
     for name in ("description", "sample", "head_margin", "maxsim")]
    + [f"scope.{model}.{name}" for model in ("in_scope", "in_scope_with_lm")
       for name in ("margin", "agreement", "similarity", "head_logit", "chars", "sample_mean")]
    + [f"scope.{name}{asked}" for name in ("share", "assign_floor", "even_odds_floor")
       for asked in ("", "_with_lm")]
    + ["retrieval.rerank", "retrieval.reranked", "retrieval.rerank_below", "split.review_threshold"]
    + ["scope.in_scope.rerank", "scope.in_scope_with_lm.rerank"]
    + [f"transfer.{model}.{name}" for model in ("right", "fits")
       for name in ("bias", *TransferWeights.features())]
    + [f"transfer.{name}" for name in ("assign_threshold", "none_threshold", "least_agents",
                                       "most_agents", "lm_weight")]
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Thresholds:
    """What a decision compares its probabilities with.

    Attributes:
        assign: least confidence to assign; None never assigns.
        in_scope: least P(some agent fits); None never says that none fits.
        floor: least confidence to assign beside it, as it would be if half of the requests were
            for nobody (``at_even_odds``); None for no such limit.
        share: of the requests, how many are for nobody in the probabilities as they are; None
            where they are fitted to none.
    """

    assign: float | None
    in_scope: float | None
    floor: float | None = None
    share: float | None = None


class KnobValues(KnobGroup):
    """Every number of a compiled program, in groups; the defaults are the uncompiled program."""

    retrieval: RetrievalKnobs = RetrievalKnobs()
    expansion: ExpansionKnobs = ExpansionKnobs()
    lm: LMKnobs = LMKnobs()
    confidence: ConfidenceKnobs = ConfidenceKnobs()
    scope: ScopeKnobs = ScopeKnobs()
    split: SplitKnobs = SplitKnobs()
    transfer: TransferKnobs = TransferKnobs()

    @classmethod
    def read(cls, state: Mapping[str, Any]) -> "KnobValues":
        """Return the values of a saved state, in groups; none may be unknown or missing.

        But for those of ``_LATER``, which older programs of this format do not have.

        Raises:
            ValueError: a name is unknown or missing, or a number is of the wrong type or out
                of range; one line.
        """
        names, known = set(dict(_leaves(state))), set(cls().flat())
        if odd := (names ^ known) - (_LATER - names):
            odd = ", ".join(sorted(odd))
            raise ValueError(f"these knobs are unknown or missing: {odd}")
        try:
            return cls.model_validate(state)
        except ValidationError as error:
            first = error.errors()[0]
            name = ".".join(map(str, first["loc"]))
            raise ValueError(f"knob {name}={first['input']!r}: {first['msg']}") from error

    def flat(self) -> dict[str, float | int | bool | None]:
        """Return every number by its dotted name, such as ``retrieval.k``."""
        return dict(_leaves(self.model_dump()))

    def replaced(self, changes: Mapping[str, Any]) -> "KnobValues":
        """Return a copy with other numbers.

        Args:
            changes: by dotted name, such as ``{"retrieval.k": 12}``.

        Raises:
            ValueError: a name is unknown, or a number is of the wrong type or out of range.
        """
        state = self.model_dump()
        for name, value in changes.items():
            *groups, last = name.split(".")
            group = state
            for part in groups:
                group = group.get(part) if isinstance(group, dict) else None
            if not isinstance(group, dict) or last not in group:
                raise ValueError(f"the knob {name} is unknown")
            group[last] = value
        return self.read(state)

    def thresholds(self, *, with_lm: bool = False) -> Thresholds:
        """Return the thresholds of a decision, with the LM asked or without."""
        confidence, scope = self.confidence, self.scope
        assign, before = confidence.assign_threshold, scope.assign_floor
        rest = scope.threshold, scope.even_odds_floor, scope.share
        if with_lm:
            assign, before = confidence.assign_threshold_with_lm, scope.assign_floor_with_lm
            rest = scope.threshold_with_lm, scope.even_odds_floor_with_lm, scope.share_with_lm
        if assign is not None and before is not None:
            assign = max(assign, before)
        return Thresholds(assign, *rest)

    def asking_below(self, gate: float | None) -> "KnobValues":
        """Return a copy that asks an LM, measured or not, about what it is less certain of.

        An LM that the program was compiled with keeps its weight.

        Args:
            gate: that certainty, 0..1; None for every task.
        """
        weight = self.lm.weight or self.transfer.lm_weight
        if not weight or self.transfer.assign_threshold is None:
            return self
        asked = {"gate": 1.0 if gate is None else gate, "ask_settled": False, "weight": weight}
        asked |= {"rubric_low": 0.0, "rubric_high": 0.0}  # what it adds was fitted elsewhere
        if not self.lm.weight:
            # Nobody measured how few agents would do. Where a server drops the log-probabilities,
            # the LM writes its belief down.
            asked |= {"orders": 1, "shortlist": MOST_SHOWN, "repeats": 0}
        # Of this group alone, since a task asks for it: ``replaced`` would check all numbers again.
        lm = LMKnobs.model_validate(self.lm.model_dump() | asked)
        return self.model_copy(update={"lm": lm})

    def without_writing(self) -> "KnobValues":
        """Return a copy for an LM that decides and writes nothing: no expansion, no rubric."""
        return self.replaced(
            {
                "expansion.phrasings": 0,
                "expansion.hyde": False,
                "lm.rubric_low": 0.0,
                "lm.rubric_high": 0.0,
            }
        )


def _leaves(group: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in group.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value
