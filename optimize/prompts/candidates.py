"""PromptCandidate: the prompts that a DSPy optimizer tried, read from its result."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import dspy


@dataclass(frozen=True, slots=True)
class PromptCandidate:
    """One prompt that an optimizer tried.

    Attributes:
        score: share of the examples that it answered right; None where it was not measured.
        instructions: of the signature.
        demos: by field.
    """

    score: float | None
    instructions: str
    demos: tuple[dict[str, str], ...]


def read_single_prompt(done: Any) -> list[PromptCandidate]:
    """Return the result of an optimizer that makes one prompt and does not measure it."""
    return [_candidate(done, None)]


def read_percent_scores(done: Any) -> list[PromptCandidate]:
    """Return the candidates of optimizers that score with ``dspy.Evaluate``."""
    return [_candidate(row["program"], row["score"] / 100) for row in _attached(done)]


def read_share_scores(done: Any) -> list[PromptCandidate]:
    """Return the candidates of SIMBA, which averages the metric itself."""
    return [_candidate(row["program"], row["score"]) for row in _attached(done)]


def read_gepa_candidates(done: Any) -> list[PromptCandidate]:
    """Return the candidates of GEPA, in the order in which it found them."""
    found = done.detailed_results
    scored = zip(found.candidates, found.val_aggregate_scores, strict=True)
    return [_candidate(program, score) for program, score in scored]


def keep_fields(select: Any) -> None:
    """Take out of the demos what is no field of the signature, but for DSPy's mark of its own.

    LabeledFewShot shows whole examples, and with them what only the metric reads; a program
    that holds such a demo is refused when it is loaded.
    """
    kept = {*select.signature.fields, "augmented"}
    select.demos = [
        dspy.Example({name: demo[name] for name in demo if name in kept})
        for demo in map(dict, select.demos)
    ]


def _attached(done: Any) -> Sequence[Mapping[str, Any]]:
    return done.candidate_programs


def _candidate(program: Any, score: float | None) -> PromptCandidate:
    """Read the student of a candidate; demos keep the signature's fields alone."""
    select = program.select
    fields = list(select.signature.fields)
    demos = tuple({f: str(demo[f]) for f in fields if f in demo} for demo in select.demos)
    return PromptCandidate(
        None if score is None else float(score), select.signature.instructions, demos
    )
