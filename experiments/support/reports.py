"""Table columns for evaluation reports (``optimize evaluate``)."""

from typing import Any

from experiments.support.format import Columns, difference, number, percent, rate

ACCURACY: Columns = {
    "n": lambda r: r["n"],
    "top-1 [95% CI]": lambda r: rate(r, "top1"),
    "top-3": lambda r: percent(r["top3"]),
    "MRR": lambda r: f"{r['mrr']:.3f}",
    "BM25 top-1": lambda r: percent(r["baseline_bm25_top1"]),
    "difference to BM25, points": lambda r: difference(r["versus_bm25"]),
    "median ms": lambda r: f"{r['latency_ms']['p50']:.0f}",
}


def calibration_error(report: dict[str, Any]) -> str:
    """Return the ECE with the range that 95% of calibrated models fall into."""
    low, high = report["ece_calibrated_range"]
    return f"{report['ece']:.3f} [{low:.3f}, {high:.3f}]"


def precision_overall(report: dict[str, Any]) -> float | None:
    """Return the share of correct agents among all assigned requests, out of scope included.

    None where no request is out of scope, or none was assigned.
    """
    if not report["n_out_of_scope"]:
        return None
    in_scope = report["decisions"]["assign"]
    assigned = in_scope + report["decisions_out_of_scope"]["assign"]
    return (report["precision_assigned"] or 0.0) * in_scope / assigned if assigned else None


def _precision_overall(report: dict[str, Any]) -> str:
    share = precision_overall(report)
    return "-" if share is None else percent(share)


TRUST: Columns = {
    "n": lambda r: r["n"],
    "ECE [range if calibrated]": calibration_error,
    "error AUROC": lambda r: number(r["auroc_error"], 2),
    "top-1 at 80% coverage": lambda r: percent(r["accuracy_at_coverage_80"]),
    "assigned": lambda r: percent(r["decisions"]["assign"] / r["n"]),
    "precision, in scope [95% CI]": lambda r: (
        "-" if r["precision_assigned"] is None else rate(r, "precision_assigned")
    ),
    "precision, out of scope included": _precision_overall,
    "in scope but `none`": lambda r: f"{r['decisions']['none']} of {r['n']}",
    "out-of-scope n": lambda r: r["n_out_of_scope"] or "-",
    "out-of-scope AUROC": lambda r: number(r["oos_auroc"], 3),
    "out-of-scope assigned": lambda r: (
        r["decisions_out_of_scope"]["assign"] if r["n_out_of_scope"] else "-"
    ),
}
