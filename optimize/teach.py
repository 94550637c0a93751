"""What the LM adds: demos for its prompt, the weight of its word, when to ask it.

Everything is measured on requests that retrieval is not sure of, since those are the
only ones that the LM will see.
"""

import logging
import random
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import Any

import dspy
import numpy as np
from dspy.teleprompt import BootstrapFewShot
from scipy.optimize import minimize_scalar

from optimize.calibrate import fit_sureness
from optimize.data import Dataset, Request
from optimize.evaluate import Outcome, delegate_all
from task_delegator.confidence import sureness
from task_delegator.delegation import Candidate
from task_delegator.delegator import Delegator, weigh

ALWAYS = 1.01  # a gate that every confidence is below
_MAX_WEIGHT = 3.0  # of the LM's log-probabilities beside retrieval's
_DEMOS = 2
_FEWEST_ASKED = 15  # with fewer answers neither weight nor confidence can be fitted
_BOOTSTRAP_SHARE = 0.2  # of the budget of LM calls; the rest measures with and without demos
_FOLDS = 5


@dataclass(frozen=True, slots=True)
class Lesson:
    """What the LM stage found.

    Attributes:
        calls: LM calls spent.
        asked: unsure validation requests that the LM was asked about.
        gains: per variant of the prompt, what the LM's word adds to the log-likelihood of
            the right agent, mean and standard error over the asked requests,
            cross-validated.
        demos: demos in the prompt in the end.
        weight: of the LM's word in the end; 0 where it does not help.
    """

    calls: int
    asked: int
    gains: dict[str, tuple[float, float]]
    demos: int
    weight: float


def teach(
    program: Delegator, dataset: Dataset, lm: dspy.BaseLM, *, max_lm_calls: int, seed: int
) -> Lesson:
    """Bootstrap demos, weigh the LM's word and set the gate, within ``max_lm_calls``.

    The gate opens where retrieval is not sure enough to assign. Where the LM's word
    does not raise the likelihood of the right agent by more than a standard error,
    its weight and the gate are 0: a program does not get worse by having an LM.

    Raises:
        LMError: the LM cannot be reached.
    """
    program.knobs.set(lm=0.0, gate=0.0)
    bootstrap_calls = int(max_lm_calls * _BOOTSTRAP_SHARE)
    room = (max_lm_calls - bootstrap_calls) // (2 * program.knobs.values.orders)
    asked = _unsure(program, dataset.splits["validation"], seed)[:room]
    if len(asked) < _FEWEST_ASKED:
        return Lesson(calls=0, asked=len(asked), gains={}, demos=0, weight=0.0)

    taught, calls = _bootstrap(program, dataset.splits["train"], lm, bootstrap_calls, seed)
    variants = {"plain": program} | ({"demos": taught} if taught.classify.select.demos else {})
    answers = {name: _ask(variant, asked, lm, name) for name, variant in variants.items()}
    calls += sum(o.delegation.usage.lm_calls for given in answers.values() for o in given)
    gains = {name: _cross_validated_gain(given, seed) for name, given in answers.items()}

    best = max(gains, key=lambda name: gains[name][0])
    mean, error = gains[best]
    weight = _fit_weight([_gain_curve(o) for o in answers[best]]) if mean > error else 0.0
    if weight > 0:
        demos = variants[best].classify.select.demos
        program.classify.select.demos = [_without_logprobs(demo) for demo in demos]
        program.knobs.set(lm=weight, gate=program.knobs.values.assign)
        program.knobs.set(**_fit_sureness_with_lm(answers[best], weight))
    return Lesson(
        calls=calls,
        asked=len(asked),
        gains=gains,
        demos=len(program.classify.select.demos),
        weight=weight,
    )


def opened(program: Delegator, **knobs: float) -> Delegator:
    """Return a copy that asks the LM about every task."""
    copy = program.deepcopy()
    copy.knobs.set(gate=ALWAYS, **knobs)
    return copy


def picked_right(example: dspy.Example, delegation: Any, trace: Any = None) -> bool:
    """Return whether the LM itself picked the expected agent: BootstrapFewShot's metric."""
    asked = delegation.evidence["lm"]
    return bool(asked) and asked["picked"][0] == example.agent


def _unsure(program: Delegator, requests: Sequence[Request], seed: int) -> list[Request]:
    with dspy.context(lm=None):
        outcomes = delegate_all(program, requests, "find unsure requests")
    threshold = program.knobs.values.assign
    unsure = [o.request for o in outcomes if o.delegation.confidence < threshold]
    random.Random(seed).shuffle(unsure)
    return unsure


def _bootstrap(
    program: Delegator, requests: Sequence[Request], lm: dspy.BaseLM, calls: int, seed: int
) -> tuple[Delegator, int]:
    """Return a copy with demos of the LM's own right answers, and the calls it took."""
    student = opened(program, orders=1, lm=0.0)
    chosen = list(requests)
    random.Random(seed).shuffle(chosen)
    examples = [
        dspy.Example(task=r.text, agent=r.expected).with_inputs("task") for r in chosen[:calls]
    ]
    if not examples:
        return student, 0
    asked: list[str] = []

    def metric(example: dspy.Example, delegation: Any, trace: Any = None) -> bool:
        asked.append(example.task)
        return picked_right(example, delegation, trace)

    logging.getLogger("dspy.teleprompt.bootstrap").setLevel(logging.ERROR)
    optimizer = BootstrapFewShot(
        metric=metric, max_bootstrapped_demos=_DEMOS, max_labeled_demos=0, max_errors=1
    )
    # The optimiser prints its progress; standard output is for results.
    with dspy.context(lm=lm), redirect_stdout(sys.stderr):
        taught = optimizer.compile(student, trainset=examples)
    return taught, len(asked)


def _ask(
    program: Delegator, requests: Sequence[Request], lm: dspy.BaseLM, what: str
) -> list[Outcome]:
    student = opened(program, orders=program.knobs.values.orders, lm=0.0)
    with dspy.context(lm=lm):
        return delegate_all(student, requests, f"ask the LM ({what})")


def _gain_curve(outcome: Outcome) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the shortlist's posterior, the LM's log-belief, and which agents are right."""
    belief = outcome.delegation.evidence["lm"]["probabilities"]
    posterior = outcome.delegation.evidence["retrieval"]["posterior"]
    names = list(belief)
    return (
        np.array([max(posterior[name], 1e-9) for name in names]),
        np.log(np.maximum([belief[name] for name in names], 1e-9)),
        np.array([name in outcome.request.acceptable for name in names]),
    )


def _gain(curve: tuple[np.ndarray, np.ndarray, np.ndarray], weight: float) -> float:
    """Return what a weight adds to the log-probability of a right agent; 0 if none is shown."""
    posterior, belief, right = curve
    if not right.any():
        return 0.0
    pooled = posterior * np.exp(weight * (belief - belief.max()))
    with_lm, without = pooled[right].sum() / pooled.sum(), posterior[right].sum() / posterior.sum()
    return float(np.log(max(with_lm, 1e-12)) - np.log(without))


def _fit_weight(curves: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> float:
    best = minimize_scalar(
        lambda weight: -np.mean([_gain(curve, weight) for curve in curves]),
        bounds=(0.0, _MAX_WEIGHT),
        method="bounded",
    )
    return float(best.x)


def _cross_validated_gain(outcomes: Sequence[Outcome], seed: int) -> tuple[float, float]:
    curves = [_gain_curve(outcome) for outcome in outcomes]
    folds = np.random.default_rng(seed).permutation(len(curves)) % _FOLDS
    gains = []
    for fold in range(_FOLDS):
        weight = _fit_weight([c for c, f in zip(curves, folds, strict=True) if f != fold])
        gains += [_gain(c, weight) for c, f in zip(curves, folds, strict=True) if f == fold]
    return float(np.mean(gains)), float(np.std(gains) / np.sqrt(len(gains)))


def _fit_sureness_with_lm(outcomes: Sequence[Outcome], weight: float) -> dict[str, float]:
    features, right = [], []
    for outcome in outcomes:
        evidence = outcome.delegation.evidence
        posterior = [Candidate(n, p) for n, p in evidence["retrieval"]["posterior"].items()]
        pooled = weigh(posterior, evidence["lm"]["probabilities"], weight)
        features.append(sureness(pooled))
        right.append(pooled[0].name in outcome.request.acceptable)
    return fit_sureness(features, np.array(right), prefix="sure_lm")


def _without_logprobs(demo: Any) -> dict[str, Any]:
    """Return a demo as plain JSON; the log-probabilities of 500 tokens are no prompt."""
    return {key: value for key, value in dict(demo).items() if key != "logprobs"}
