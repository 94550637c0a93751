"""Fit a confidence that carries over to registries that a program was not calibrated for.

Registries of many sizes are drawn from written ones, with samples and without. Their requests are
asked of them, of them without the right agent, and of others that nobody there serves. By what
retrieval shows of these, one logistic model tells where the first place is right, another whether
any agent fits. Both thresholds are chosen on draws that the models did not see; the written
registries of these may be those of other draws.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import count
from typing import Any

import numpy as np
from scipy.special import expit

from optimize.data import WrittenAgent
from task_delegator.calibration import Observed, fit_logistic, held_out_odds, observe
from task_delegator.decision import (
    OperatingPoint,
    Sample,
    Target,
    choose_threshold,
    transfer_features,
)
from task_delegator.delegator import Delegator
from task_delegator.embedders import Encoded
from task_delegator.errors import InputError
from task_delegator.knobs import KnobValues, TransferWeights
from task_delegator.registry import Agent
from task_delegator.retrieval import Index, read_words

DRAWN = 1000
SHARE = 0.2  # of the traffic, requests that no agent fits: half of them close to what agents do
_SIZES = (3, 3, 4, 5, 6, 8, 10, 15, 20, 40, 80, 150)
# The confidence is believed in larger registries too: the more agents, the lower it is. On
# validation requests with 200 to 1,000 agents, 95 to 100 % of all that it assigns is right. Where
# registries of 300 and 1,000 are drawn as well, it assigns a third less of the same.
_MOST_AGENTS = 1000
# Of each agent; None: any number each, as where teams differ.
_SAMPLES: tuple[int | None, ...] = (0, 0, 1, 3, 6, None, None, None)
_WHOLE = 0.5  # share of the draws whose agents are look-alikes of a few registries
_ASKED, _MISSING, _FAR = 12, 6, 6  # requests of a draw: right agent there, taken out, of others
_FOLDS = 5
# Written registries are alike in ways that others are not. On validation requests of six sets, of
# ridges from 1 to 100,000 this tells right from wrong best: AUROC .906, with 1 .900. Products of
# two features (.72) and boosted trees (.88), which fit the written ones better, carry over worse.
_RIDGE = 3000.0
# The same for whether any agent fits: with 300 of 10 to 30,000 ridges AUROC is .968 far from what
# agents do and .817 near it; with 3,000 .964 and .828.
_RIDGE_OF_FITS = 300.0
# Share of the requests in scope that may be told "none". With .02, nearly twice as many are on
# validation (.6 %), and 40 % of those far from what agents do instead of 32 %.
_LOST = 0.01
_MOST_LIKELY = 0.5  # what is likelier than not is not told "none"
# Of an LM's log-probabilities beside retrieval's. Of 1, 2 and 3 with a recorded large LM on the
# validation requests of four sets: 1 finds fewer right agents, 3 hardly more.
_LM_WEIGHT = 2.0
_NOBODY = frozenset({""})


@dataclass(frozen=True, slots=True)
class DrawnRegistry:
    """A registry that was drawn, and what it is asked.

    Attributes:
        agents: with different names.
        asked: requests, each with the name of its agent.
        far: requests of registries that none of the agents is of.
    """

    agents: tuple[Agent, ...]
    asked: tuple[tuple[str, str], ...]
    far: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NobodyPoint:
    """Where the decision is ``none``, and what that does.

    Attributes:
        threshold: of P(some agent fits).
        in_scope, out_of_scope: shares of the requests in scope, and of those that no agent fits,
            that are told so.
    """

    threshold: float
    in_scope: float
    out_of_scope: float


@dataclass(frozen=True, slots=True)
class TransferFit:
    """What was fitted.

    Attributes:
        knobs: by dotted name.
        promise: what the threshold does on requests of draws that the model did not see.
        nobody: the same of the threshold for ``none``.
        registries: that were drawn.
    """

    knobs: Mapping[str, Any]
    promise: OperatingPoint
    nobody: NobodyPoint
    registries: int

    def to_json(self) -> dict[str, Any]:
        """Return what a manifest records."""
        return {
            "registries": self.registries,
            "threshold": asdict(self.promise),
            "none": asdict(self.nobody),
        }


@dataclass(frozen=True, slots=True)
class _Rows:
    """Requests as a table.

    Attributes:
        table: features, shape (n, features).
        right: whether the first place is, shape (n,).
        served: whether the right agent is there, shape (n,).
        draws: number of each row's registry, shape (n,).
    """

    table: np.ndarray
    right: np.ndarray
    served: np.ndarray
    draws: np.ndarray

    @property
    def counts(self) -> np.ndarray:
        """What each row counts, so that a share ``SHARE`` is served by nobody; shape (n,)."""
        shares = np.where(self.served, 1 - SHARE, SHARE)
        return (
            shares
            * len(self.served)
            / np.where(self.served, self.served.sum(), (~self.served).sum())
        )


def draw_registries(
    written: Mapping[str, Sequence[WrittenAgent]], number: int = DRAWN, seed: int = 0
) -> Iterator[DrawnRegistry]:
    """Yield registries of 3 to 150 agents.

    Args:
        written: agents by registry.
        number: how many to draw.
        seed: of the draw.

    Raises:
        InputError: there are too few registries to have some that others are not of.
    """
    if len(written) < 2 * _FAR:
        raise InputError(f"{len(written)} registries are too few to draw from: {2 * _FAR} at least")
    rng = random.Random(seed)
    names = sorted(written)
    every = [one for name in names for one in written[name]]
    for _ in range(number):
        size = rng.choice(_SIZES)
        pool = every
        if rng.random() < _WHOLE:
            some = rng.sample(names, min(1 + size // len(written[names[0]]), len(names)))
            pool = [one for name in some for one in written[name]]
        chosen = {one.agent.name.casefold(): one for one in rng.sample(pool, min(size, len(pool)))}
        used = {one.registry for one in chosen.values()}
        others = [name for name in names if name not in used]
        yield _drawn(list(chosen.values()), [written[name] for name in others], rng)


def _drawn(
    chosen: Sequence[WrittenAgent], others: Sequence[Sequence[WrittenAgent]], rng: random.Random
) -> DrawnRegistry:
    most = rng.choice(_SAMPLES)
    agents, asked = [], []
    for one in chosen:
        texts = (*one.agent.user_request_samples, *one.requests[:3])
        known = texts[: rng.choice((0, 1, 3)) if most is None else most]
        agents.append(one.agent.model_copy(update={"user_request_samples": known}))
        asked += [(text, one.agent.name) for text in one.requests if text not in known]
    rng.shuffle(asked)
    strangers = [rng.choice(agents) for agents in rng.sample(others, min(_FAR, len(others)))]
    far = [rng.choice(stranger.requests) for stranger in strangers]
    return DrawnRegistry(tuple(agents), tuple(asked[:_ASKED]), tuple(far))


def fit_transfer(
    program: Delegator, drawn: Iterator[DrawnRegistry], precision: float
) -> TransferFit:
    """Fit the confidence and its threshold to a program's retrieval; its knobs are set.

    Args:
        program: compiled.
        drawn: registries.
        precision: to aim at, of everything that is assigned where ``SHARE`` of the requests is
            for nobody.

    Raises:
        InputError: the program's retrieval needs a reranker, whose scores mean another thing in
            each registry.
    """
    knobs = program.knobs.values
    if knobs.retrieval.rerank:
        raise InputError("optimize transfer: the program reranks; compile it without --reranker")
    rows = _observed(program, drawn, knobs)
    right, unseen = _fitted("right", rows, rows.right, _RIDGE)
    fits, unseen_fits = _fitted("fits", rows, rows.served, _RIDGE_OF_FITS)
    promise = choose_threshold(
        Sample.of(unseen[rows.served], rows.right[rows.served], unseen[~rows.served]),
        Target(precision, SHARE),
    )
    nobody = choose_none(np.maximum(unseen_fits, unseen), rows.served)
    fitted = right | fits | {"transfer.assign_threshold": promise.threshold}
    fitted |= {"transfer.least_agents": min(_SIZES), "transfer.most_agents": _MOST_AGENTS}
    fitted |= {"transfer.none_threshold": nobody.threshold, "transfer.lm_weight": _LM_WEIGHT}
    program.knobs.set(fitted)
    return TransferFit(fitted, promise, nobody, 1 + int(rows.draws.max()))


def _fitted(
    model: str, rows: _Rows, labels: np.ndarray, ridge: float
) -> tuple[dict[str, Any], np.ndarray]:
    """Return a model's knobs, and the probabilities by models that did not see the registry."""
    fit = partial(fit_shrunk, ridge=ridge)
    folds = rows.draws % _FOLDS
    unseen = expit(held_out_odds(rows.table, labels, rows.counts, folds, fit))
    bias, weights = fit(rows.table, labels, rows.counts)
    knobs = dict(zip(TransferWeights.features(), weights.tolist(), strict=True))
    return {f"transfer.{model}.{name}": w for name, w in {**knobs, "bias": bias}.items()}, unseen


def choose_none(fits: np.ndarray, served: np.ndarray) -> NobodyPoint:
    """Return the highest threshold below which hardly any request is that an agent fits.

    Args:
        fits: P(some agent fits), shape (n,).
        served: whether one does, bool, shape (n,); of one at least.
    """
    threshold = min(float(np.quantile(fits[served], _LOST)), _MOST_LIKELY)
    told = fits < threshold
    outside = told[~served]
    return NobodyPoint(
        threshold, float(told[served].mean()), float(outside.sum() / max(1, len(outside)))
    )


def fit_shrunk(
    table: np.ndarray, labels: np.ndarray, row_weights: np.ndarray, ridge: float = _RIDGE
) -> tuple[float, np.ndarray]:
    """Return bias and weights of a strong ridge, on a scale that the ridge does not shrink.

    The ridge chooses what the weights are to each other; how sure they are is fitted to the
    log-odds that they give, one number (Platt, 1999).

    Args:
        table, labels, row_weights, ridge: as for ``fit_logistic``.
    """
    bias, weights = fit_logistic(table, labels, row_weights, ridge)
    odds = (bias + table @ weights)[:, np.newaxis]
    shift, (scale,) = fit_logistic(odds, labels, row_weights)
    return shift + scale * bias, scale * weights


def _observed(program: Delegator, drawn: Iterator[DrawnRegistry], knobs: KnobValues) -> _Rows:
    table, right, served, draws = [], [], [], []
    encodings: dict[str, Encoded] = {}
    for number, registry in zip(count(), drawn, strict=False):
        index = Index(registry.agents, program.retrieve.library.embed, encodings)
        encodings |= index.encodings
        sampled = float(index.has_samples.mean())
        for one, there in _seen(index, registry, knobs, encodings):
            known = (one.signals, one.features, len(index.names), sampled)
            features = transfer_features(*known)
            table.append([features[name] or 0.0 for name in TransferWeights.features()])
            right.append(one.right)
            served.append(there)
            draws.append(number)
    return _Rows(np.array(table), np.array(right), np.array(served), np.array(draws))


def _seen(
    index: Index, registry: DrawnRegistry, knobs: KnobValues, encodings: dict[str, Encoded]
) -> Iterator[tuple[Observed, bool]]:
    """Yield what each request shows, and whether its right agent is there."""
    asked = [*registry.asked, *((text, "") for text in registry.far)]
    words = [read_words(index, text) for text, _ in asked]
    new = sorted({one.text for one in words} - encodings.keys(), key=len)
    encodings |= zip(new, index.embed.encode(new), strict=True)
    for place, ((_, name), one) in enumerate(zip(asked, words, strict=True)):
        query = one.with_encoding(encodings[one.text])
        shown, missing = observe(index, query, {name} if name else _NOBODY, knobs)
        yield shown, bool(name)
        if name and missing is not None and place < _MISSING:
            yield missing, False
