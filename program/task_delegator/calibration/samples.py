"""Calibrate a program on the agents' own samples, before any request is labeled.

Each sample is a request whose agent is known, and is asked of an index without it. An index is
built as often as most agents have samples, at most ten times, each time without one sample or a
tenth of every agent's: the right agent has no fewer of them than its rivals, and few are missing.
"""

import hashlib
import json
import random
from bisect import bisect_left
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import accumulate
from typing import Any

import numpy as np

from ..decision import Sample, above_floor, correct_probability, estimate_threshold
from ..delegation import Features
from ..embedders import VectorCache
from ..errors import InputError
from ..knobs import CorrectWeights, KnobValues, Thresholds
from ..registry import Agent
from ..retrieval import Index, Retrieve
from .logistic import fit_logistic
from .observe import Observed, observe
from .scope import fit_scope, folds_by_agent, held_out_odds

LEAST_SAMPLES = 30  # held out; fewer are too few for the models
LEAST_AGENTS = 4  # with fewer, hiding one leaves too few to compare
_CAUTION = 0.6  # share of the errors that are allowed: 0.97 for 0.95, as samples are no requests
# Confidence that is enough to assign, where fewer samples are assigned by what they would choose.
_HIGH, _ENOUGH = 0.9, 100
_MOST_FOLDS = 10
_MANY = 1000  # agents beyond which an index takes long: as few are built as hold out enough
_MOST = 2000  # samples that are asked
_METHOD = "self-calibration 6"  # with another number, what was kept is calculated again
_KEPT = VectorCache("calibrations.sqlite", limit=2**24)
# To choose from, the smallest first.
_FEATURE_SETS: tuple[tuple[str, ...], ...] = (
    ("margin",),
    ("logit",),
    ("logit", "margin", "agreement"),
    CorrectWeights.features(),
)
_WITHOUT_LM: dict[str, Any] = {
    "lm.weight": 0.0,
    "lm.gate": None,
    "lm.rubric_low": 0.0,
    "lm.rubric_high": 0.0,
}


@dataclass(frozen=True, slots=True)
class SelfCalibration:
    """A calibration on samples.

    Attributes:
        knobs: by dotted name; the LM's gate is closed, as its gain is not known here.
        samples: how many were held out.
        right: share of them whose agent came first.
        assigned: share of them that would be assigned.
        precision: share of those that would be assigned rightly; None where none would be.
        near_assigned: share of them that would be assigned if their agents were missing.
    """

    knobs: dict[str, Any]
    samples: int
    right: float
    assigned: float
    precision: float | None
    near_assigned: float


def kept_calibration(
    retrieve: Retrieve, knobs: KnobValues, written: Collection[str] | None, target: float
) -> SelfCalibration:
    """Return ``calibrate_on_samples``, from the user's cache where it was calculated before."""
    library = retrieve.library
    said = [
        *(_METHOD, library.registry.sha256(), library.embed.id, knobs.model_dump()),
        retrieve.rerank.id,
        *({name: list(own) for name, own in sorted(retrieve.learned.values.items())},),
        *(None if written is None else sorted(written), target),
    ]
    key = hashlib.sha256(json.dumps(said, sort_keys=True).encode()).digest()
    content = _KEPT.read([key]).get(key)
    if content is not None:
        return SelfCalibration(**json.loads(content))
    made = calibrate_on_samples(retrieve, knobs, written, target)
    _KEPT.write({key: json.dumps(asdict(made)).encode()})
    return made


def calibrate_on_samples(
    retrieve: Retrieve, knobs: KnobValues, written: Collection[str] | None, target: float
) -> SelfCalibration:
    """Fit confidence, P(some agent fits) and thresholds to the samples of a registry's agents.

    Args:
        retrieve: with the registry and what was learned.
        knobs: of the program; what is fitted here is not read.
        written: samples that people wrote. Others, such as an LM's, serve as samples and are not
            asked, where these are enough: they are harder than requests. None for all.
        target: precision of assigned tasks; the threshold is chosen for a more careful one.

    Raises:
        InputError: there are too few agents or samples.
    """
    index = retrieve.library.index(retrieve.learned.values)
    folds = _folds(index.agents, written)
    if len(index.agents) > _MANY:
        folds = _fewest(folds)
    number = sum(map(len, folds))
    if len(index.agents) < LEAST_AGENTS or number < LEAST_SAMPLES:
        raise InputError(
            f"the registry cannot calibrate itself: it has {number} user_request_samples of "
            f"{len(index.agents)} agents, and {LEAST_SAMPLES} samples of {LEAST_AGENTS} agents "
            "are needed; add samples, calibrate with labeled requests, or take what holds for "
            "other registries (--calibrate transfer)"
        )
    inside: list[Observed] = []
    near: list[Observed] = []
    for fold in folds:
        index_without = _without_samples(index, fold)
        for text in _some(sorted(fold), _MOST // len(folds)):
            query = retrieve.read(text, index_without)
            seen, left = observe(index_without, query, fold[text], knobs, retrieve.rerank)
            inside.append(seen)
            near += [left] if left is not None else []
    return _fitted(knobs, inside, near, 1 - _CAUTION * (1 - target))


def _fewest(folds: list[dict[str, set[str]]]) -> list[dict[str, set[str]]]:
    """Return the first folds, as few as hold out enough samples; all where these do not."""
    held = list(accumulate(map(len, folds)))
    return folds[: bisect_left(held, LEAST_SAMPLES) + 1]


def _folds(agents: Sequence[Agent], written: Collection[str] | None) -> list[dict[str, set[str]]]:
    """Return the samples to hold out together, with the names of all agents that have them."""
    owners: dict[str, set[str]] = {}
    for agent in agents:
        for sample in agent.user_request_samples:
            owners.setdefault(sample, set()).add(agent.name)
    owners = {text: own for text, own in owners.items() if len(own) < len(agents)}
    asked = owners if written is None else {t: o for t, o in owners.items() if t in written}
    if len(asked) < LEAST_SAMPLES:
        asked = owners
    held = [sum(sample in asked for sample in agent.user_request_samples) for agent in agents]
    held = sorted(filter(None, held))
    number = min(max(held[len(held) // 2], 2), _MOST_FOLDS) if held else 2
    folds: list[dict[str, set[str]]] = [{} for _ in range(number)]
    draw, placed = random.Random(0), set[str]()
    for agent in agents:
        own = [s for s in agent.user_request_samples if s in asked and s not in placed]
        draw.shuffle(own)
        first = draw.randrange(number)
        for place, sample in enumerate(own, first):
            folds[place % number][sample] = owners[sample]
        placed.update(own)
    return [fold for fold in folds if fold]


def _without_samples(index: Index, gone: Collection[str]) -> Index:
    agents = [
        agent.model_copy(
            update={
                "user_request_samples": tuple(
                    sample for sample in agent.user_request_samples if sample not in gone
                )
            }
        )
        for agent in index.agents
    ]
    return Index(agents, index.embed, index.encodings)


def _some(texts: Sequence[str], most: int) -> Sequence[str]:
    return texts if len(texts) <= most else random.Random(0).sample(texts, most)


def _fitted(
    knobs: KnobValues, inside: Sequence[Observed], near: Sequence[Observed], target: float
) -> SelfCalibration:
    values = knobs.replaced({**_WITHOUT_LM, **_fit_correct(inside)})

    def correct(features: Features) -> float:
        return correct_probability(features, values)

    scope = fit_scope(inside, near, (), correct)
    values = values.replaced(scope.knobs)
    confidences = scope.held_out * np.array([correct(row.features) for row in (*inside, *near)])
    own = confidences[: len(inside)]
    right = np.array([row.right for row in inside])
    threshold = _threshold(Sample.of(own, right), target)
    values = values.replaced({"confidence.assign_threshold": threshold})
    values = values.replaced(as_without_lm(values))
    assigned, astray = np.split(
        _assigned(confidences, scope.held_out, values.thresholds()), [len(inside)]
    )
    before, after = knobs.flat(), values.flat()
    return SelfCalibration(
        knobs={name: value for name, value in after.items() if value != before[name]},
        samples=len(inside),
        right=float(right.mean()),
        assigned=float(assigned.mean()),
        precision=float(right[assigned].mean()) if assigned.any() else None,
        near_assigned=float(astray.mean()),
    )


def _threshold(sample: Sample, target: float) -> float | None:
    """Return the threshold that is estimated to reach a precision.

    Where it assigns fewer than a hundred samples, three errors more would miss it by far: the
    confidence has to be high by itself.
    """
    found = estimate_threshold(sample, target)
    if found is None or sample.assigned(found).assigned >= _ENOUGH:
        return found
    return max(found, min(_HIGH, target))


def _assigned(confidences: np.ndarray, in_scope: np.ndarray, thresholds: Thresholds) -> np.ndarray:
    """Return what would be assigned, shape (n,), bool."""
    least = np.inf if thresholds.assign is None else thresholds.assign
    return (confidences >= least) & above_floor(confidences, in_scope, thresholds)


def _fit_correct(inside: Sequence[Observed]) -> dict[str, float]:
    """Return P(the first place is right, if any agent fits), over the features that pay."""
    right = np.array([row.right for row in inside])
    knobs = {f"confidence.correct.{name}": 0.0 for name in ("bias", *CorrectWeights.features())}
    if right.all() or not right.any():
        rate = (right.sum() + 1) / (len(right) + 2)  # of Laplace, as nothing can be told apart
        return knobs | {"confidence.correct.bias": float(np.log(rate / (1 - rate)))}
    names = _chosen_features(inside, right)
    bias, weights = fit_logistic(_table(inside, names), right)
    knobs |= {f"confidence.correct.{n}": float(w) for n, w in zip(names, weights, strict=True)}
    return knobs | {"confidence.correct.bias": bias}


def _chosen_features(inside: Sequence[Observed], right: np.ndarray) -> tuple[str, ...]:
    """Return the smallest set within a standard error of the best log-loss of unseen agents."""
    folds = folds_by_agent([row.agent for row in inside])
    ones = np.ones(len(right))
    lost = {}
    for names in _FEATURE_SETS:
        odds = held_out_odds(_table(inside, names), right, ones, folds)
        lost[names] = np.logaddexp(0, np.where(right, -odds, odds))
    best = min(lost.values(), key=lambda each: float(each.mean()))

    def close(names: tuple[str, ...]) -> bool:
        worse = lost[names] - best
        return bool(worse.mean() <= worse.std() / np.sqrt(len(worse)))

    return next(filter(close, _FEATURE_SETS))


def _table(inside: Sequence[Observed], names: Sequence[str]) -> np.ndarray:
    return np.array([[getattr(row.features, name) for name in names] for row in inside])


def as_without_lm(values: KnobValues) -> Mapping[str, Any]:
    """Return the knobs for tasks that the LM was asked about, until its stage fits its own."""
    correct = values.confidence.correct.model_dump()
    in_scope = values.scope.in_scope.model_dump()
    return {
        **{f"confidence.correct_with_lm.{name}": value for name, value in correct.items()},
        **{f"scope.in_scope_with_lm.{name}": value for name, value in in_scope.items()},
        "confidence.assign_threshold_with_lm": values.confidence.assign_threshold,
        "scope.threshold_with_lm": values.scope.threshold,
        "scope.share_with_lm": values.scope.share,
        "scope.even_odds_floor_with_lm": values.scope.even_odds_floor,
        "scope.assign_floor_with_lm": values.scope.assign_floor,
    }
