"""What P(some agent fits) is fitted to: validation requests, with their right agents and without.

A request without its right agents is one that nobody serves, close to what the agents do. Beside
these, the examples of ``out_of_scope.json`` count, where there is one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import logit

from optimize.evaluation import Outcome
from task_delegator.calibration import Observed, ScopeFit, fit_scope, observe_missing
from task_delegator.decision import correct_probability
from task_delegator.delegation import Delegation
from task_delegator.delegator import Delegator
from task_delegator.knobs import InScopeWeights

_OF_POSTERIOR = ("logit", "margin")  # features that are no signals: with an LM they are others
_OF_SIGNALS = tuple(name for name in InScopeWeights.features() if name not in _OF_POSTERIOR)


@dataclass(frozen=True, slots=True)
class SignalsScope:
    """P(some agent fits) by the signals of retrieval alone.

    Attributes:
        weights: of the signals.
        held_out: log-odds of each request, by its text, by a model that has not seen its agent.
        prior: log-odds of the share of requests that are taken for granted to be in scope.
        inside, outside: how many requests in scope and out of scope it was fitted to.
    """

    weights: InScopeWeights
    held_out: Mapping[str, float]
    prior: float
    inside: int
    outside: int

    def log_odds(self, text: str) -> float:
        """Return what the signals say of a request; 0 where nothing could be fitted."""
        return self.held_out[text] if self.held_out else 0.0


def fit_scope_of(
    program: Delegator, inside: Sequence[Outcome], outside: Sequence[Delegation]
) -> ScopeFit:
    """Fit P(some agent fits) with its thresholds, and set these knobs.

    Args:
        program: whose confidence in the first place is fitted.
        inside: delegations of labeled requests.
        outside: delegations of requests that are out of scope.
    """
    fit = _fitted(program, inside, outside, InScopeWeights.features())
    program.knobs.set(fit.knobs)
    return fit


def signals_scope(
    program: Delegator, inside: Sequence[Outcome], outside: Sequence[Outcome]
) -> SignalsScope:
    """Return P(some agent fits) by the signals of retrieval, with what it says held out.

    Args:
        program: whose confidence in the first place is fitted.
        inside, outside: delegations of requests in scope and out of scope, without an LM.
    """
    fit = _fitted(program, inside, [o.delegation for o in outside], _OF_SIGNALS)
    group = "scope.in_scope."
    own = {n.removeprefix(group): w for n, w in fit.knobs.items() if n.startswith(group)}
    sure = np.finfo(float).eps  # of a probability of 1, the log-odds are no number to fit
    odds = logit(fit.held_out.clip(sure, 1 - sure)).tolist()
    far = odds[len(odds) - len(outside) :]
    texts = [outcome.request.text for outcome in (*inside, *outside)]
    known = dict(zip(texts, [*odds[: len(inside)], *far], strict=True)) if odds else {}
    share = fit.knobs["scope.share"]
    prior = 0.0 if share is None else float(logit(1 - share))
    return SignalsScope(InScopeWeights(**own), known, prior, len(inside), len(outside))


def _fitted(
    program: Delegator,
    inside: Sequence[Outcome],
    outside: Sequence[Delegation],
    names: Sequence[str],
) -> ScopeFit:
    knobs = program.knobs.values
    return fit_scope(
        [_observed(o.delegation, o.request.expected, right=o.correct) for o in inside],
        near_misses(program, inside),
        [_observed(delegation) for delegation in outside],
        lambda features: correct_probability(features, knobs),
        names=names,
    )


def near_misses(program: Delegator, inside: Sequence[Outcome]) -> list[Observed]:
    """Return what labeled requests show where their right agents are missing.

    No index is built: the agents' columns are left out of the channels.
    """
    retrieve, knobs = program.retrieve, program.knobs.values
    index = retrieve.library.index(retrieve.learned.values)
    found = []
    for outcome in inside:
        request = outcome.request
        query = retrieve.read(request.text, index)
        left = observe_missing(index, query, request.acceptable, knobs, retrieve.rerank)
        found += [left] if left is not None else []
    return found


def _observed(delegation: Delegation, agent: str = "", *, right: bool = False) -> Observed:
    evidence = delegation.evidence
    return Observed(agent, evidence.signals, evidence.features, right)
