"""Metrics: rates with intervals, ranking, calibration, paired tests. Arrays in, floats out."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

ECE_BINS = 15  # of equal mass


def wilson(right: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return Wilson's score interval of a rate (Wilson 1927); (0, 1) where n is 0."""
    if n == 0:
        return 0.0, 1.0
    z = float(stats.norm.ppf((1 + confidence) / 2))
    centre = (right + z * z / 2) / (n + z * z)
    half = z / (n + z * z) * math.sqrt(right * (n - right) / n + z * z / 4)
    return max(0.0, centre - half), min(1.0, centre + half)


def bootstrap(values: np.ndarray, draws: int = 2000, seed: int = 0) -> tuple[float, float]:
    """Return the 95 % percentile interval of a mean; (0, 0) without values."""
    if len(values) == 0:
        return 0.0, 0.0
    picks = np.random.default_rng(seed).integers(0, len(values), (draws, len(values)))
    low, high = np.quantile(values[picks].mean(axis=1), [0.025, 0.975])
    return float(low), float(high)


def mean_reciprocal_rank(ranks: Sequence[int | None]) -> float:
    """Return the mean of 1/rank, ranks from 1, None for not found."""
    return float(np.mean([1 / rank if rank else 0.0 for rank in ranks])) if ranks else 0.0


def expected_calibration_error(
    confidences: np.ndarray, right: np.ndarray, bins: int = ECE_BINS
) -> float:
    """Return the ECE over bins of equal mass (Nguyen and O'Connor 2015), 0..1."""
    parts = reliability(confidences, right, bins)
    return sum(n * abs(stated - observed) for stated, observed, n in parts) / len(right)


def reliability(
    confidences: np.ndarray, right: np.ndarray, bins: int = 10
) -> list[tuple[float, float, int]]:
    """Return stated confidence, share that was right and n per bin of equal mass."""
    order = np.argsort(confidences, kind="stable")
    parts = [p for p in np.array_split(order, min(bins, len(order))) if len(p)]
    return [(float(confidences[p].mean()), float(right[p].mean()), len(p)) for p in parts]


def calibrated_ece_range(
    confidences: np.ndarray, draws: int = 1000, seed: int = 0, bins: int = ECE_BINS
) -> tuple[float, float]:
    """Return the central 95 % of the ECE that a perfectly calibrated model would show.

    Outcomes are drawn from the confidences themselves: with few requests even the truth
    has an ECE well above 0.
    """
    rng = np.random.default_rng(seed)
    eces = [
        expected_calibration_error(confidences, rng.random(len(confidences)) < confidences, bins)
        for _ in range(draws)
    ]
    low, high = np.quantile(eces, [0.025, 0.975])
    return float(low), float(high)


def brier(confidences: np.ndarray, right: np.ndarray) -> float:
    """Return the mean squared difference of confidence and outcome (Brier 1950)."""
    return float(np.mean((confidences - right) ** 2))


def auroc(scores: np.ndarray, positive: np.ndarray) -> float | None:
    """Return the area under the ROC curve, ties counted half; None with one class only."""
    positive = positive.astype(bool)
    n, m = int(positive.sum()), int((~positive).sum())
    if n == 0 or m == 0:
        return None
    ranks = stats.rankdata(scores)
    return float((ranks[positive].sum() - n * (n + 1) / 2) / (n * m))


def bootstrap_auroc(
    scores: np.ndarray, positive: np.ndarray, draws: int = 1000, seed: int = 0
) -> tuple[float, float]:
    """Return the 95 % percentile interval of the AUROC, both classes drawn with replacement."""
    rng = np.random.default_rng(seed)
    groups = np.flatnonzero(positive), np.flatnonzero(~positive.astype(bool))
    found = []
    for _ in range(draws):
        pick = np.concatenate([rng.choice(group, len(group)) for group in groups])
        found.append(auroc(scores[pick], positive[pick]) or 0.0)
    low, high = np.quantile(found, [0.025, 0.975])
    return float(low), float(high)


def accuracy_at_coverage(confidences: np.ndarray, right: np.ndarray, coverage: float) -> float:
    """Return the accuracy on the surest share of the requests."""
    kept = np.argsort(-confidences, kind="stable")[: max(1, round(coverage * len(right)))]
    return float(right[kept].mean())


def aurc(confidences: np.ndarray, right: np.ndarray) -> float:
    """Return the area under the risk-coverage curve (Geifman and El-Yaniv, 2017), 0 is best."""
    wrong = ~right.astype(bool)[np.argsort(-confidences, kind="stable")]
    return float(np.mean(np.cumsum(wrong) / np.arange(1, len(wrong) + 1)))


def accuracy_where_turned_away(
    fits: np.ndarray, right: np.ndarray, strangers: np.ndarray, share: float
) -> tuple[float, float] | None:
    """Return what is left in scope where a share of the strangers is turned away.

    Args:
        fits: P(some agent fits) of the requests in scope.
        right: whether their first place is right.
        strangers: P(some agent fits) of requests that nobody can serve.
        share: of the strangers that must fall below the threshold.

    Returns:
        The share of all requests in scope that is kept and right, and the share that is kept;
        None without strangers.
    """
    if len(strangers) == 0:
        return None
    threshold = np.sort(strangers)[min(math.ceil(share * len(strangers)), len(strangers)) - 1]
    kept = fits > threshold
    return float((kept & right.astype(bool)).mean()), float(kept.mean())


def false_positive_rate(inside: np.ndarray, outside: np.ndarray, recall: float) -> float | None:
    """Return the share of strangers accepted where so many of the requests in scope are.

    Args:
        inside: P(some agent fits) of the requests in scope.
        outside: the same of requests that nobody can serve.
        recall: of the requests in scope, 0..1.
    """
    if len(outside) == 0:
        return None
    threshold = np.sort(inside)[len(inside) - math.ceil(recall * len(inside))]
    return float(np.mean(outside >= threshold))


def mcnemar(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Return the exact two-sided p of McNemar's test on paired outcomes."""
    wins = int((ours & ~theirs).sum())
    losses = int((theirs & ~ours).sum())
    return float(stats.binomtest(wins, wins + losses).pvalue) if wins + losses else 1.0


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two systems on the same requests.

    Attributes:
        difference: mean outcome of the first less that of the second, -1..1.
        ci95: paired bootstrap interval of the difference.
        p: exact McNemar test, two-sided.
        wins, losses: requests that only the first, only the second got right.
    """

    n: int
    difference: float
    ci95: tuple[float, float]
    p: float
    wins: int
    losses: int


def compare(ours: np.ndarray, theirs: np.ndarray, draws: int = 2000, seed: int = 0) -> Comparison:
    """Compare two systems' outcomes (right or wrong) on the same requests."""
    ours, theirs = ours.astype(bool), theirs.astype(bool)
    difference = ours.astype(float) - theirs.astype(float)
    return Comparison(
        n=len(difference),
        difference=float(difference.mean()),
        ci95=bootstrap(difference, draws, seed),
        p=mcnemar(ours, theirs),
        wins=int((ours & ~theirs).sum()),
        losses=int((theirs & ~ours).sum()),
    )
