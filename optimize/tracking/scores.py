"""Scores of one request, for MLflow's evaluation: of what was answered and what was expected.

``mlflow_scorers`` makes scorers of them that ``mlflow.genai.evaluate`` takes with a ``predict_fn``
of one's own.
"""

from collections.abc import Callable, Mapping
from typing import Any

from task_delegator.delegation import TOP, Delegation
from task_delegator.tracing import NOBODY, redact

Score = Callable[[Mapping[str, Any], Mapping[str, Any]], Any]
BINS = 10  # of the confidence


def answered(delegation: Delegation, names: Mapping[str, str]) -> dict[str, Any]:
    """Return what is scored of a delegation, with agents as ``names`` shows them."""
    evidence, usage = delegation.evidence, delegation.usage
    ranking = [redact(name, names, False) for name in evidence.ranking[:TOP]]
    return {
        "decision": delegation.decision,
        "top3": ranking,
        "confidence": evidence.correct_score,
        "in_scope_score": evidence.in_scope_score,
        "lm_calls": usage.lm_calls,
        "tokens": usage.tokens,
    }


def expected(acceptable: tuple[str, ...], names: Mapping[str, str]) -> dict[str, Any]:
    """Return what is expected of a request: its agent, and all that are acceptable if several."""
    shown = [redact(name, names, False) for name in acceptable]
    several = {"acceptable": shown} if len(shown) > 1 else {}
    return {"agent": shown[0] if shown else NOBODY} | several


def _acceptable(expectations: Mapping[str, Any]) -> list[str]:
    agent = expectations["agent"]
    return expectations.get("acceptable") or ([] if agent == NOBODY else [agent])


def _top1(outputs: Mapping[str, Any], expectations: Mapping[str, Any]) -> bool | None:
    """Tell whether the first agent is acceptable; None out of scope."""
    return _within(outputs, expectations, 1)


def _top3(outputs: Mapping[str, Any], expectations: Mapping[str, Any]) -> bool | None:
    """Tell whether one of the first three agents is acceptable; None out of scope."""
    return _within(outputs, expectations, 3)


def _within(
    outputs: Mapping[str, Any], expectations: Mapping[str, Any], places: int
) -> bool | None:
    acceptable = _acceptable(expectations)
    return any(n in acceptable for n in outputs["top3"][:places]) if acceptable else None


def _decision_right(outputs: Mapping[str, Any], expectations: Mapping[str, Any]) -> bool | None:
    """Tell whether the decision is right; None for a review, which a person decides."""
    if outputs["decision"] == "review":
        return None
    if outputs["decision"] == "none":
        return not _acceptable(expectations)
    return _top1(outputs, expectations) is True


def _scope_right(outputs: Mapping[str, Any], expectations: Mapping[str, Any]) -> bool:
    """Tell whether it is rightly held likely or unlikely that some agent fits."""
    return (outputs["in_scope_score"] >= 0.5) == bool(_acceptable(expectations))


def _confidence_bin(outputs: Mapping[str, Any], expectations: Mapping[str, Any]) -> str | None:
    """Return the tenth that the confidence is in; None out of scope."""
    if not _acceptable(expectations):
        return None
    tenth = min(int(outputs["confidence"] * BINS), BINS - 1)
    return f"{tenth / BINS:.1f} to {(tenth + 1) / BINS:.1f}"


def _lm_asked(outputs: Mapping[str, Any], expectations: Mapping[str, Any]) -> bool:
    """Tell whether the LM was asked."""
    return outputs["lm_calls"] > 0


def _tokens(outputs: Mapping[str, Any], expectations: Mapping[str, Any]) -> int:
    """Return the LM tokens that the request cost."""
    return outputs["tokens"]


SCORES: dict[str, Score] = {
    "top1": _top1,
    "top3": _top3,
    "decision_right": _decision_right,
    "scope_right": _scope_right,
    "confidence_bin": _confidence_bin,
    "lm_asked": _lm_asked,
    "tokens": _tokens,
}


def scores(outputs: Mapping[str, Any], expectations: Mapping[str, Any]) -> dict[str, Any]:
    """Return every score that applies, by name; what an LM costs only where it was asked."""
    found = {name: score(outputs, expectations) for name, score in SCORES.items()}
    unasked = set() if outputs["lm_calls"] else {"lm_asked", "tokens"}
    return {name: v for name, v in found.items() if v is not None and name not in unasked}


def mlflow_scorers() -> list[Any]:
    """Return the scores as scorers of ``mlflow.genai.evaluate``.

    What a ``predict_fn`` returns is ``Delegation.to_dict()``, or what ``answered`` returns;
    expectations are ``{"agent": name}``, with ``acceptable`` where several agents are right.
    """
    from mlflow.genai.scorers import scorer

    return [scorer(_of_either(score), name=name) for name, score in SCORES.items()]


def _of_either(score: Score) -> Score:
    """Return a score that takes ``Delegation.to_dict()`` too."""

    def scored(outputs: Mapping[str, Any], expectations: Mapping[str, Any]) -> Any:
        return score(_as_answered(outputs), expectations)

    scored.__doc__ = score.__doc__
    return scored


def _as_answered(outputs: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what ``answered`` does of a delegation that was turned into a dictionary."""
    if "evidence" not in outputs:
        return outputs
    evidence, usage = outputs["evidence"], outputs["usage"]
    return {
        "decision": outputs["decision"],
        "top3": evidence["ranking"][:TOP],
        "confidence": evidence["correct_score"],
        "in_scope_score": evidence["in_scope_score"],
        "lm_calls": usage["lm_calls"],
        "tokens": usage["tokens"],
    }
