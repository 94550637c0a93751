"""Report: the typed keys of an evaluation."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Report:
    """Scores of a program on one split; rates are fractions of 1, None where not applicable.

    Attributes:
        reranker: id of the one that reads the best agents; None where the program uses none.
        n: requests in scope.
        top1, top3: share of requests with an acceptable agent at rank 1, among the first three.
        top1_ci95: Wilson's interval of top1.
        recall_at_k, k: share with an acceptable agent on the shortlist, and its length.
        mrr: mean reciprocal rank within the shortlist.
        ece, brier: calibration error and Brier score of the confidence: over requests in scope
            and out of scope, weighted to the share out of scope that it takes for granted; of
            P(right, if some agent fits) in scope where the split has none out of scope.
        auroc_error: AUROC of the confidence for correct against incorrect answers.
        ece_calibrated_range: 95 % range of the ECE that a perfectly calibrated model
            with these confidences would show on the same requests.
        aurc: area under the risk-coverage curve, 0 is best.
        accuracy_at_coverage_80: accuracy on the surest 80 %.
        n_out_of_scope: requests that no agent can serve, delegated under the same LM.
        oos_auroc: AUROC of P(some agent fits) for in scope against out of scope.
        oos_fpr95: share accepted out of scope at the threshold that accepts 95 % in scope.
        oos_90: at the threshold that rejects 90 % out of scope, the share of the requests in
            scope that is accepted and correct, and the share that is accepted.
        decisions, decisions_out_of_scope: counts of assign, review and none.
        precision_assigned, precision_assigned_ci95: of the assigned requests in scope.
        n_all_assigned, precision_all_assigned, precision_all_assigned_ci95: assigned requests
            in scope and out of scope, and the share that was assigned rightly.
        assigned, assigned_ci95: share of the requests in scope that was assigned.
        assigned_out_of_scope, assigned_out_of_scope_ci95: the same out of scope.
        out_of_scope_share, precision_at_share, precision_at_share_ci95: a stated share of
            out-of-scope traffic, and the precision of everything assigned at it; at share 0 it
            is precision_assigned.
        lm_share: share of the requests in scope that the LM was asked about.
        lm_calls, lm_calls_per_task, tokens_per_task: what the LM cost in scope.
        lm_calls_out_of_scope: LM calls for the requests out of scope.
        latency_ms: p50 and p95 of a delegation in scope, milliseconds; of a hundred alone where
            no LM may be asked.
        slot_flip_rate: share of LM picks that change when the shortlist is reversed.
        baseline_bm25_top1, baseline_bm25, versus_bm25: BM25 alone on the same requests and
            texts, its setting (chosen on validation), and the paired comparison of top1.
        versus_no_lm: the paired comparison of top1 with the same program without LM.
    """

    program: str
    data: str
    split: str
    seed: int
    lm: str | None
    embedder: str
    reranker: str | None
    commit: str
    n: int
    top1: float
    top1_ci95: tuple[float, float]
    top3: float
    top3_ci95: tuple[float, float]
    recall_at_k: float
    k: int
    mrr: float
    ece: float
    ece_calibrated_range: tuple[float, float]
    brier: float
    auroc_error: float | None
    aurc: float
    accuracy_at_coverage_80: float
    n_out_of_scope: int
    oos_auroc: float | None
    oos_90: tuple[float, float] | None
    oos_fpr95: float | None
    decisions: dict[str, int]
    decisions_out_of_scope: dict[str, int]
    precision_assigned: float | None
    precision_assigned_ci95: tuple[float, float] | None
    n_all_assigned: int
    precision_all_assigned: float | None
    precision_all_assigned_ci95: tuple[float, float] | None
    assigned: float
    assigned_ci95: tuple[float, float]
    assigned_out_of_scope: float | None
    assigned_out_of_scope_ci95: tuple[float, float] | None
    out_of_scope_share: float
    precision_at_share: float | None
    precision_at_share_ci95: tuple[float, float] | None
    lm_calls: int
    lm_share: float
    lm_calls_per_task: float
    lm_calls_out_of_scope: int
    tokens_per_task: float
    latency_ms: dict[str, float]
    slot_flip_rate: float | None
    baseline_bm25_top1: float
    baseline_bm25: dict[str, float]
    versus_bm25: dict[str, Any]
    versus_no_lm: dict[str, Any] | None

    def to_dict(self) -> dict[str, Any]:
        """Return the report as a dictionary of plain JSON values."""
        return asdict(self)

    def sentence(self) -> str:
        """Return the result in one line."""
        low, high = self.top1_ci95
        found = (
            f"top-1 {self.top1:.1%} ({low:.1%} to {high:.1%}), top-3 {self.top3:.1%}, n {self.n}"
        )
        if self.precision_assigned is None or self.precision_assigned_ci95 is None:
            return f"{found}; nothing in scope is assigned"
        low, high = self.precision_assigned_ci95
        found += (
            f"; assigned {self.assigned:.1%}, precision {self.precision_assigned:.1%} "
            f"({low:.1%} to {high:.1%}) in scope"
        )
        if self.precision_at_share is None or self.precision_at_share_ci95 is None:
            return found
        low, high = self.precision_at_share_ci95
        return (
            f"{found}, {self.precision_at_share:.1%} ({low:.1%} to {high:.1%}) at "
            f"{self.out_of_scope_share:.0%} out of scope"
        )

    def metrics(self) -> dict[str, float]:
        """Return the numbers by name, for a tracking server."""
        flat = {f"latency_ms_{name}": value for name, value in self.latency_ms.items()}
        flat |= {f"decisions_{name}": float(count) for name, count in self.decisions.items()}
        values = self.to_dict() | flat
        return {
            name: float(value)
            for name, value in values.items()
            if isinstance(value, int | float) and name != "seed"
        }
