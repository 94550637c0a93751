"""What P(some agent fits) is fitted to: validation requests, with their right agents and without.

A request without its right agents is one that nobody serves, close to what the agents do. Beside
these, the examples of ``out_of_scope.json`` count, where there is one.
"""

from collections.abc import Sequence

from optimize.evaluation import Outcome
from task_delegator.calibration import Observed, ScopeFit, fit_scope, observe_missing
from task_delegator.decision import correct_probability
from task_delegator.delegation import Delegation
from task_delegator.delegator import Delegator


def fit_scope_of(
    program: Delegator, inside: Sequence[Outcome], outside: Sequence[Delegation]
) -> ScopeFit:
    """Fit P(some agent fits) with its thresholds, and set these knobs.

    Args:
        program: whose confidence in the first place is fitted.
        inside: delegations of labeled requests.
        outside: delegations of requests that are out of scope.
    """
    knobs = program.knobs.values
    labeled = [_observed(o.delegation, o.request.expected, right=o.correct) for o in inside]
    far = [_observed(delegation) for delegation in outside]
    fit = fit_scope(
        labeled,
        near_misses(program, inside),
        far,
        lambda features: correct_probability(features, knobs),
    )
    program.knobs.set(fit.knobs)
    return fit


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
