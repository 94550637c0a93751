"""Metrics: rates with intervals, ranking, calibration, paired tests. Arrays in, floats out."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from task_delegator.decision import Counts

ECE_BINS = 15  # of equal mass
_CELLS = 2_000_000  # outcomes that a simulation holds at a time
_ROUNDING = 1e-9  # sums of the same numbers in another order differ by less


def wilson(correct: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return Wilson's score interval of a rate (Wilson 1927); (0, 1) where n is 0."""
    if n == 0:
        return 0.0, 1.0
    interval = stats.binomtest(correct, n).proportion_ci(confidence, method="wilson")
    return float(interval.low), float(interval.high)


def precision_at_share(
    counts: Counts, share: float, draws: int = 10_000, seed: int = 0
) -> tuple[float, float] | None:
    """Return the 95 % interval of the precision of everything assigned; None where nothing is.

    Its rates are drawn from their posteriors under Jeffreys' priors, each on its own: unlike a
    bootstrap, that does not say "certain" where no error was seen (Brown, Cai and DasGupta, 2001).
    The estimate itself is always within, as they have it for rates of 0 and 1.

    Args:
        counts: of labeled requests in scope and, with a share above 0, out of scope.
        share: of out-of-scope traffic, 0 to below 1.
        draws: how often to draw.
        seed: of the draws.
    """
    found = counts.precision(share)
    if found is None:
        return None
    rng = np.random.default_rng(seed)

    def rates(k: int, n: int) -> np.ndarray:
        return rng.beta(k + 0.5, n - k + 0.5, draws)

    right = rates(counts.right, counts.assigned)
    inside = (1 - share) * rates(counts.assigned, counts.n_in)
    outside = share * rates(counts.out_of_scope, counts.n_out)
    low, high = _central(right * inside / (inside + outside))
    return min(low, found), max(high, found)


def bootstrap(
    statistic: Callable[[np.ndarray], float | None],
    strata: Sequence[np.ndarray],
    draws: int = 2000,
    seed: int = 0,
) -> np.ndarray:
    """Return a statistic of requests drawn with replacement, shape (draws,) at most.

    Not ``scipy.stats.bootstrap``: it draws another random stream, which would move every
    published interval, and it draws from one stratum only.

    Args:
        statistic: of the drawn indices, shape (n,); a draw for which it is None is left out.
        strata: groups of indices; from each, as many are drawn as it holds.
        draws: how many times to draw.
        seed: of the draws.
    """
    rng = np.random.default_rng(seed)
    found = (
        statistic(np.concatenate([s[rng.integers(0, len(s), len(s))] for s in strata]))
        for _ in range(draws)
    )
    return np.array([value for value in found if value is not None])


def bootstrap_sums(
    values: np.ndarray, strata: Sequence[np.ndarray], draws: int = 2000, seed: int = 0
) -> np.ndarray:
    """Return sums over requests drawn with replacement, shape (draws, columns).

    How often each request is drawn is multinomial: as ``bootstrap``, in a few products.

    Args:
        values: of the requests, shape (n, columns).
        strata, draws, seed: as there.
    """
    rng = np.random.default_rng(seed)
    at_once = max(_CELLS // len(values), 1)
    sums = []
    for done in range(0, draws, at_once):
        size = min(at_once, draws - done)
        each = (
            rng.multinomial(len(s), np.full(len(s), 1 / len(s)), size) @ values[s] for s in strata
        )
        sums.append(sum(each, np.zeros((size, values.shape[1]))))
    return np.concatenate(sums)


def bootstrap_mean(values: np.ndarray, draws: int = 2000, seed: int = 0) -> tuple[float, float]:
    """Return the 95 % percentile interval of a mean; (0, 0) without values."""
    if len(values) == 0:
        return 0.0, 0.0
    rng, n = np.random.default_rng(seed), len(values)
    at_once = max(_CELLS // n, 1)
    blocks = (min(at_once, draws - done) for done in range(0, draws, at_once))
    means = [values[rng.integers(0, n, (block, n))].mean(axis=1) for block in blocks]
    return _central(np.concatenate(means))


def _central(values: Sequence[float] | np.ndarray) -> tuple[float, float]:
    """Return the central 95 % of some values."""
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)


def mean_reciprocal_rank(ranks: Sequence[int | None]) -> float:
    """Return the mean of 1/rank, ranks from 1, None for not found."""
    return float(np.mean([1 / rank if rank else 0.0 for rank in ranks])) if ranks else 0.0


def expected_calibration_error(
    confidences: np.ndarray, correct: np.ndarray, bins: int = ECE_BINS
) -> float:
    """Return the ECE over bins of equal mass (Nguyen and O'Connor 2015), 0..1."""
    parts = reliability(confidences, correct, bins)
    return sum(n * abs(stated - observed) for stated, observed, n in parts) / len(correct)


def reliability(
    confidences: np.ndarray, correct: np.ndarray, bins: int = 10
) -> list[tuple[float, float, int]]:
    """Return the mean confidence, the accuracy and n of each bin of equal mass."""
    order = np.argsort(confidences, kind="stable")
    parts = [p for p in np.array_split(order, min(bins, len(order))) if len(p)]
    return [(float(confidences[p].mean()), float(correct[p].mean()), len(p)) for p in parts]


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
    return _central(eces)


@dataclass(frozen=True, slots=True)
class CalibrationTest:
    """How badly outcomes fit their confidences, against what calibrated ones would show.

    Attributes:
        share_p: p-value of the accuracy, under a calibrated confidence.
        ece_p: probability of an ECE at least as large.
        ece_range: central 95 % of the ECE of calibrated confidences.
    """

    share_p: float
    ece_p: float
    ece_range: tuple[float, float]


def calibration_test(
    confidences: np.ndarray,
    correct: np.ndarray,
    draws: int = 2000,
    seed: int = 0,
    *,
    overstated: bool = False,
) -> CalibrationTest:
    """Test by simulation whether confidences are calibrated (Barnard 1963).

    Outcomes are drawn from the confidences themselves, so that each p is exact at any n.

    Args:
        confidences: stated, 0..1, shape (n,), n at least 1.
        correct: outcomes, shape (n,).
        draws: how often outcomes are drawn; no p is below 1 / (draws + 1).
        seed: of the draws.
        overstated: test only whether they are too high: gaps to the other side count nothing.
    """
    order = np.argsort(confidences, kind="stable")
    stated, n = confidences[order], len(order)
    sizes = [len(part) for part in np.array_split(order, min(ECE_BINS, n))]
    starts = np.cumsum([0, *sizes[:-1]])
    expected = np.add.reduceat(stated, starts)

    def statistics(outcomes: np.ndarray) -> np.ndarray:
        """Return the share's distance and the ECE per row of outcomes, shape (2, rows)."""
        gaps = np.add.reduceat(outcomes.astype(float), starts, axis=1) - expected
        size = _below if overstated else np.abs
        return np.stack([size(gaps.sum(axis=1)), size(gaps).sum(axis=1)]) / n

    rng = np.random.default_rng(seed)
    blocks = np.array_split(np.arange(draws), math.ceil(draws * n / _CELLS))
    drawn = np.concatenate(
        [statistics(rng.random((len(block), n)) < stated) for block in blocks], axis=1
    )
    as_bad = (drawn >= statistics(correct[order][None]) - _ROUNDING).sum(axis=1)
    share_p, ece_p = (1 + as_bad) / (1 + draws)
    return CalibrationTest(float(share_p), float(ece_p), _central(drawn[1]))


def _below(gaps: np.ndarray) -> np.ndarray:
    """Return how far outcomes are below what was stated, 0 where they are above."""
    return np.maximum(-gaps, 0.0)


def brier(confidences: np.ndarray, correct: np.ndarray) -> float:
    """Return the mean squared difference of confidence and outcome (Brier 1950).

    Not scikit-learn's, which is this line of numpy behind checks of labels.
    """
    return float(np.mean((confidences - correct) ** 2))


def auroc(scores: np.ndarray, positive: np.ndarray) -> float | None:
    """Return the area under the ROC curve, ties counted half; None with one class only.

    Not scikit-learn's: its checks take thirty times as long, and bootstraps call it often.
    """
    positive = positive.astype(bool)
    n, m = int(positive.sum()), int((~positive).sum())
    if n == 0 or m == 0:
        return None
    ranks = stats.rankdata(scores)
    return float((ranks[positive].sum() - n * (n + 1) / 2) / (n * m))


def bootstrap_auroc(
    scores: np.ndarray, positive: np.ndarray, draws: int = 1000, seed: int = 0
) -> tuple[float, float] | None:
    """Return the 95 % percentile interval of the AUROC; None with one class only.

    Both classes are drawn with replacement, each on its own.
    """
    classes = np.flatnonzero(positive), np.flatnonzero(~positive.astype(bool))
    if min(map(len, classes)) == 0:
        return None
    return _central(bootstrap(lambda i: auroc(scores[i], positive[i]), classes, draws, seed))


def accuracy_at_coverage(confidences: np.ndarray, correct: np.ndarray, coverage: float) -> float:
    """Return the accuracy on the given share of requests with the highest confidence."""
    kept = np.argsort(-confidences, kind="stable")[: max(1, round(coverage * len(correct)))]
    return float(correct[kept].mean())


def aurc(confidences: np.ndarray, correct: np.ndarray) -> float:
    """Return the area under the risk-coverage curve (Geifman and El-Yaniv, 2017), 0 is best."""
    wrong = ~correct.astype(bool)[np.argsort(-confidences, kind="stable")]
    return float(np.mean(np.cumsum(wrong) / np.arange(1, len(wrong) + 1)))


def accuracy_at_rejection_rate(
    in_scope: np.ndarray, correct: np.ndarray, outside: np.ndarray, share: float
) -> tuple[float, float] | None:
    """Return the accuracy in scope at the threshold that rejects a share out of scope.

    Args:
        in_scope: P(some agent fits) of the requests in scope.
        correct: whether their first-ranked agent is acceptable.
        outside: P(some agent fits) of the requests out of scope.
        share: of the requests out of scope to reject, 0..1.

    Returns:
        The share of the requests in scope that is accepted and correct, and the share that is
        accepted; None without requests out of scope.
    """
    if len(outside) == 0:
        return None
    threshold = np.sort(outside)[min(math.ceil(share * len(outside)), len(outside)) - 1]
    kept = in_scope > threshold
    return float((kept & correct.astype(bool)).mean()), float(kept.mean())


def false_positive_rate(inside: np.ndarray, outside: np.ndarray, recall: float) -> float | None:
    """Return the share accepted out of scope at the threshold of a given recall in scope.

    Args:
        inside: P(some agent fits) of the requests in scope.
        outside: P(some agent fits) of the requests out of scope.
        recall: share of the requests in scope to accept, 0..1.
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
        wins, losses: requests that only the first, only the second system answers correctly.
    """

    n: int
    difference: float
    ci95: tuple[float, float]
    p: float
    wins: int
    losses: int


def compare(ours: np.ndarray, theirs: np.ndarray, draws: int = 2000, seed: int = 0) -> Comparison:
    """Compare two systems' outcomes (correct or not) on the same requests."""
    ours, theirs = ours.astype(bool), theirs.astype(bool)
    difference = ours.astype(float) - theirs.astype(float)
    return Comparison(
        n=len(difference),
        difference=float(difference.mean()),
        ci95=bootstrap_mean(difference, draws, seed),
        p=mcnemar(ours, theirs),
        wins=int((ours & ~theirs).sum()),
        losses=int((theirs & ~ours).sum()),
    )
