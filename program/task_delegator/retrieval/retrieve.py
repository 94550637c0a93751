"""Retrieve: the DSPy module that ranks agents for a task, with a posterior."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import dspy
import numpy as np

from ..choice import ANY, Choice
from ..delegation import TOP, Candidate, Signals
from ..knobs import KnobValues, LearnedSamples
from ..languages import foreign_language, language_of_agent
from ..prediction import FrozenPrediction, plain_json
from ..registry import Agent, description_text
from ..rerankers import Reranker
from .channels import CHANNELS
from .fusion import (
    Scored,
    as_candidates,
    blend,
    log_posterior,
    masked,
    score,
    signals,
    softmax,
)
from .index import Index, Query
from .index_cache import IndexCache
from .largest_scores import largest
from .named import favor_named
from .reading import ReadAhead, read_task
from .rerank import Rerank


class Retrieval(FrozenPrediction):
    """What retrieval found for a task.

    Attributes:
        candidates: best first, at least three where there are three; none where the caller
            may use no agent.
        agents: the same, as they were ranked.
        signals: what it saw beside the posterior.
        z_scores: per candidate and channel, in standard deviations above the mean of the
            best hundred.
        reranker_scores: of the agents that the reranker read, by name; none where it was not
            asked.
        query: the task as it was read; None where the caller may use no agent.
        index: what it was read against: the caller's agents at that moment.
        scored: the task's own scores, without expansions.
        by_name: whether the first is first for nothing but its name in the task.
        choice: whom the caller excludes and includes.
        part: whether the task is a part of a plan, which is not looked at for further parts.
        glances: parts of the task with what ``glance`` returns of each, where that is known.
    """

    candidates: tuple[Candidate, ...] = ()
    agents: tuple[Agent, ...] = ()
    signals: Signals = Signals()
    z_scores: Mapping[str, Mapping[str, float]]
    reranker_scores: Mapping[str, float] | None = None
    query: Query | None = None
    index: Index | None = None
    scored: Scored | None = None
    by_name: bool = False
    choice: Choice = ANY
    part: bool = False
    glances: tuple[tuple[str, "Retrieval"], ...] = ()

    @property
    def ranked(self) -> bool:
        """Tell whether its candidates are named; ``score_many`` leaves that to ``Retrieve``."""
        return self.scored is None or bool(self.candidates)

    def to_dict(self) -> dict[str, Any]:
        """Return what was found as plain JSON values, without what it was computed from."""
        return {
            "query": plain_json(self.query),
            "candidates": plain_json(self.candidates),
            "signals": plain_json(self.signals),
            "z_scores": plain_json(self.z_scores),
            "reranker_scores": plain_json(self.reranker_scores or {}),
        }


class Retrieve(dspy.Module):
    """Rank the permitted agents for a task.

    Each channel is standardized over its best scores, so that its weight means the same for
    every task and every size of the registry; agents without samples take their z_scores among
    the descriptions instead (missing is not zero). Ties break by name. Where the knobs say so, a
    reranker then reads the best agents.
    """

    def __init__(self, library: IndexCache, reranker: Reranker | None = None) -> None:
        super().__init__()
        self.library = library
        self.rerank = Rerank(reranker)
        self.learned = LearnedSamples()

    def forward(
        self,
        task: str,
        knobs: KnobValues,
        permissions: Collection[str] | None = None,
        further: Sequence[str] = (),
        found: Retrieval | None = None,
        choice: Choice = ANY,
        ahead: ReadAhead | None = None,
    ) -> Retrieval:
        """Return candidates and signals.

        Args:
            task: the task in plain words.
            knobs: weights, BM25 parameters, temperature and k.
            permissions: the caller's; None for a caller without limits.
            further: other texts that say the same (``ExpandQuery``); their mean z-scores
                have the weight ``knobs.expansion.weight``.
            found: what was retrieved for the task without them, with the same knobs; the task
                is not read and scored again, and the agents are those of that moment.
            choice: whom the caller excludes and includes; that of ``found``, where it is given.
            ahead: texts that are retrieved next, encoded with the task or before it.
        """
        if found is None:
            index = self.library.permitted(self.learned.values, permissions)
            if index is None or len(out := left_out(index, choice)) == len(index.names):
                return Retrieval(z_scores={})
            ahead = ahead or ReadAhead()
            query = ahead.read(index, task, knobs, self.language_of)
            scored = score(index, query, knobs, out)
        else:
            index, query, scored, choice = found.index, found.query, found.scored, found.choice
            if index is None or query is None or scored is None:
                return found
            out = left_out(index, choice)
        query, z_scores = _unnamed(query, {index.names[i] for i in out}), scored.z_scores
        if further:
            others = [score(index, index.read(text), knobs).z_scores for text in further]
            z_scores = blend(z_scores, others, knobs.expansion.weight)
        reranked = self.rerank(index, query, knobs, log_posterior(z_scores, knobs, out))
        logits, wanted, by_name = favor_named(index, query, knobs, reranked.logits, out)
        posterior = softmax(logits)
        best = _best(logits, index.names, out, knobs, choice)
        agents = tuple(index.agents[i] for i in best)
        names = [agent.name for agent in agents]
        seen = signals(index, masked(scored, out), best, knobs)
        return Retrieval(
            candidates=as_candidates(names, posterior[best]),
            agents=agents,
            signals=reranked.seen_in(seen),
            z_scores=_by_name(names, z_scores, best),
            reranker_scores=reranked.scores,
            query=replace(query, shown=query.task) if wanted else query,
            index=index,
            scored=scored,
            by_name=by_name,
            choice=choice,
            glances=() if found is None else found.glances,
        )

    if TYPE_CHECKING:  # DSPy types a module's call as a plain Prediction

        def __call__(self, *args: Any, **kwargs: Any) -> Retrieval:
            """Return what ``forward`` does."""
            ...

    def read(self, task: str, index: Index) -> Query:
        """Return a task as it is read against the agents of an index."""
        return read_task(index, task, self.language_of(task))

    def language_of(self, task: str) -> str | None:
        """Return the task's language where the embedder does not support it, else None."""
        return foreign_language(task, self.library.embed.languages)

    def language_of_agent(self, agent: Agent) -> str | None:
        """Return the language of what an agent says, where the embedder does not support it."""
        known = self.library.embed.languages
        return language_of_agent(
            description_text(agent), None if known is None else frozenset(known)
        )


def glance(
    query: Query, knobs: KnobValues, found: Retrieval, scored: Scored | None = None
) -> Retrieval:
    """Return the three best agents for a part of a task, and the signals; no evidence.

    Args:
        query: the part, as it is read against the agents of ``found``.
        knobs: as for ``Retrieve``.
        found: for the task; the agents and the caller's choice are the same.
        scored: the part, where that is done already.
    """
    index = found.index
    if index is None:
        return Retrieval(z_scores={})
    out = left_out(index, found.choice)
    query = _unnamed(query, {index.names[place] for place in out})
    scored = scored or score(index, query, knobs, out)
    alone = log_posterior(scored.z_scores, knobs, out)
    logits, _, by_name = favor_named(index, query, knobs, alone, out)
    posterior = softmax(logits)
    best = largest(logits, min(TOP, len(index.names) - len(out)))
    names = [index.names[place] for place in best.tolist()]
    return Retrieval(
        candidates=as_candidates(names, posterior[best]),
        signals=signals(index, masked(scored, out), best, knobs),
        z_scores={},
        by_name=by_name,
    )


def _by_name(
    names: Sequence[str], z_scores: Mapping[str, np.ndarray], places: np.ndarray
) -> dict[str, dict[str, float]]:
    """Return the z-scores of some agents by name and channel."""
    return {
        name: {channel: round(float(z_scores[channel][place]), 3) for channel in CHANNELS}
        for name, place in zip(names, places.tolist(), strict=True)
    }


def left_out(index: Index, choice: Choice) -> list[int]:
    """Return the places of agents that the caller excludes, or that were removed meanwhile."""
    return sorted({*choice.excluded(index.names), *index.hidden.tolist()})


def _unnamed(query: Query, gone: Collection[str]) -> Query:
    """Return a query that names none of some agents."""
    if not gone:
        return query
    mentions, named = (
        tuple(name for name in found if name not in gone) for found in (query.mentions, query.named)
    )
    return replace(query, mentions=mentions, named=named)


def _best(
    logits: np.ndarray,
    names: Sequence[str],
    out: Sequence[int],
    knobs: KnobValues,
    choice: Choice,
) -> np.ndarray:
    """Return the places of the candidates, best first: those that fit, and the caller's own.

    By the log-posterior: of two that are close the posterior may round the difference away.
    """
    best = largest(logits, min(max(_candidate_count(knobs), choice.k), len(names) - len(out)))
    if not choice.include:
        return best
    own = [place for place in choice.included(names) if place not in {*best, *out}]
    return np.array([*best, *sorted(own, key=lambda place: -logits[place])], dtype=int)


def _candidate_count(knobs: KnobValues) -> int:
    """Return how many candidates to name: the shortlist's, and the LM's where it may be asked."""
    may_ask = knobs.lm.gate is not None or knobs.lm.ask_settled
    return max(knobs.retrieval.k, TOP, knobs.lm.shortlist if may_ask else 0)
