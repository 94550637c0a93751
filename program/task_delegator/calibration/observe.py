"""What a labeled request shows: with its right agents among the others, and without them."""

from collections.abc import Collection
from dataclasses import dataclass

from ..decision import assemble
from ..delegation import Candidate, Features, Signals
from ..knobs import KnobValues
from ..retrieval import Index, Query, Rerank, Scored, score, without


@dataclass(frozen=True, slots=True)
class Observed:
    """Signals and features of one request's first place.

    Attributes:
        agent: whose request it is; its rows are never told apart when a fit is tried out.
        signals, features: see ``Signals`` and ``Features``.
        right: whether the first place is right; never where no agent is.
    """

    agent: str
    signals: Signals
    features: Features
    right: bool


def observe(
    index: Index,
    query: Query,
    right: Collection[str],
    knobs: KnobValues,
    rerank: Rerank | None = None,
) -> tuple[Observed, Observed | None]:
    """Return what a request shows, and what it would show if its right agents were not there.

    Args:
        index: of all agents.
        query: the request.
        right: names of the agents that are right, one at least.
        knobs: of retrieval.
        rerank: what the program reranks with.

    Returns:
        Both observations; the second is None where no agent would be left.
    """
    scored = score(index, query, knobs)
    shown = without(index, query, scored, (), knobs, rerank)
    return _observed(min(right), *shown, right), _missing(
        index, query, scored, right, knobs, rerank
    )


def observe_missing(
    index: Index,
    query: Query,
    right: Collection[str],
    knobs: KnobValues,
    rerank: Rerank | None = None,
) -> Observed | None:
    """Return what a request would show if its right agents were not there; as ``observe`` does."""
    return _missing(index, query, score(index, query, knobs), right, knobs, rerank)


def _missing(
    index: Index,
    query: Query,
    scored: Scored,
    right: Collection[str],
    knobs: KnobValues,
    rerank: Rerank | None,
) -> Observed | None:
    left, signals = without(index, query, scored, right, knobs, rerank)
    return _observed(min(right), left, signals, ()) if left else None


def _observed(
    agent: str, candidates: tuple[Candidate, ...], signals: Signals, right: Collection[str]
) -> Observed:
    features = assemble(candidates, signals)
    return Observed(agent, signals, features, candidates[0].name in right)
