"""Migrate knobs of programs of format 3 (flat names) to the groups of format 4."""

from collections.abc import Mapping
from typing import Any

from ..knobs import InScopeWeights, KnobValues

_RETRIEVAL = (
    *("k", "bm25", "chars", "description", "sample_best", "sample_mean", "head"),
    *("bm25_k1", "bm25_b", "head_c", "temperature"),
)
_CORRECT = {
    "bias": "bias",
    "logit": "logit",
    "margin": "margin",
    "agree": "agreement",
    "near": "similarity",
}
_NAMES = {
    **{name: f"retrieval.{name}" for name in _RETRIEVAL},
    "late": "retrieval.maxsim",
    "back": "retrieval.maxsim_reverse",
    "phrasings": "expansion.phrasings",
    "ideal": "expansion.hyde",
    "expansion": "expansion.weight",
    **{f"sure_{old}": f"confidence.correct.{new}" for old, new in _CORRECT.items()},
    **{f"sure_lm_{old}": f"confidence.correct_with_lm.{new}" for old, new in _CORRECT.items()},
    "sure_lm_slot_margin": "confidence.correct_with_lm.slot_margin",
    "sure_lm_orders": "confidence.correct_with_lm.order_agreement",
    "sure_lm_rubric": "confidence.correct_with_lm.rubric",
    "sure_foreign": "confidence.unsupported_language",
    "assign": "confidence.assign_threshold",
    "fits_bias": "scope.in_scope.bias",
    "fits_description": "scope.in_scope.description",
    "fits_sample": "scope.in_scope.sample",
    "fits_head": "scope.in_scope.head_margin",
    "fits_late": "scope.in_scope.maxsim",
    "fits_logit": "scope.in_scope.logit",
    "fits": "scope.threshold",
    "gate": "lm.gate",
    "lm": "lm.weight",
    "close": "lm.second_order_margin",
    **{name: f"lm.{name}" for name in ("orders", "prior", "repeats", "rubric_low", "rubric_high")},
    "split_bias": "split.several.bias",
    "split_least": "split.several.weakest_part",
    "split_late": "split.several.maxsim_gain",
    "split_cue": "split.several.cues",
    "split_among": "split.several.among_best",
    "split": "split.threshold",
    "split_lm": "split.use_lm",
}


def read_format3(state: Mapping[str, Any]) -> KnobValues:
    """Return the knobs of a state of format 3; numbers that meant "never" become None.

    Raises:
        ValueError: a name is unknown or missing, or a number out of range; one line.
    """
    if set(state) != set(_NAMES):
        odd = ", ".join(sorted(set(state) ^ set(_NAMES)))
        raise ValueError(f"these knobs of format 3 are unknown or missing: {odd}")
    for name, value in state.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"knob {name}={value!r}: must be a number")
    values = {new: state[old] for old, new in _NAMES.items()}
    values |= {name: bool(values[name]) for name in ("expansion.hyde", "split.use_lm")}
    values["retrieval.passages"] = 0  # that format read none
    if values["lm.gate"] > 1:
        values |= {"lm.gate": 1.0, "lm.ask_settled": True}
    never = {
        "lm.gate": values["lm.gate"] <= 0,
        "lm.second_order_margin": values["lm.second_order_margin"] >= 99,
        "confidence.assign_threshold": values["confidence.assign_threshold"] > 1,
        "scope.threshold": values["scope.threshold"] <= 0,
        "split.threshold": values["split.threshold"] > 1,
    }
    values |= {name: None for name, holds in never.items() if holds}
    # What format 3 did not tell apart, and what it had no choice of.
    values |= {
        "confidence.assign_threshold_with_lm": values["confidence.assign_threshold"],
        "scope.threshold_with_lm": values["scope.threshold"],
        "lm.shortlist": max(values["retrieval.k"], 2),
        "lm.card": "brief",
    }
    for name in InScopeWeights.features():
        if f"scope.in_scope.{name}" in values:  # that format had fewer
            values[f"scope.in_scope_with_lm.{name}"] = values[f"scope.in_scope.{name}"]
    values["scope.in_scope_with_lm.bias"] = values["scope.in_scope.bias"]
    return KnobValues().replaced(values)
