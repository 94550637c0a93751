"""Format numbers, and rows as markdown tables."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

Row = Mapping[str, Any]
Columns = Mapping[str, Callable[[Any], Any]]

# Mean cost of a task, as ``costs.per_task`` returns it.
COST: Columns = {
    "LM calls": lambda r: f"{r['lm_calls_per_task']:.2f}",
    "tokens": lambda r: f"{r['tokens_per_task']:.0f}",
    "s": lambda r: f"{r['seconds_per_task']:.2f}",
}
_REPORTED_P = 0.001  # smaller ones are not told apart


def percent(rate: float) -> str:
    """Return a rate as a percentage."""
    return f"{100 * rate:.1f}%"


def points(difference: float) -> str:
    """Return a difference of rates in percentage points, with its sign."""
    shown = f"{100 * difference:+.1f}"
    return "0.0" if float(shown) == 0 else shown


def interval(bounds: Sequence[float], scale: float = 100, digits: int = 1) -> str:
    """Return a 95% interval in brackets."""
    low, high = (f"{scale * bound + 0.0:.{digits}f}" for bound in bounds)
    return f"[{low}, {high}]"


def rate(row: Row, name: str) -> str:
    """Return the rate ``name`` of a row with its interval ``<name>_ci95``."""
    return f"{percent(row[name])} {interval(row[f'{name}_ci95'])}"


def estimate(value: float, bounds: Sequence[float], digits: int) -> str:
    """Return a number that is no rate with its interval."""
    return f"{value:.{digits}f} {interval(bounds, 1, digits)}"


def number(value: float | None, digits: int) -> str:
    """Return a number, or a dash where there is none."""
    return "-" if value is None else f"{value:.{digits}f}"


def p_value(p: float) -> str:
    """Return a p-value to three decimals, ``p < .001`` below that."""
    if p < _REPORTED_P:
        return "p < .001"
    shown = f"{p:.3f}"
    return "p = 1" if shown == "1.000" else f"p = {shown.lstrip('0')}"


def difference(versus: Row | None, sign: int = 1) -> str:
    """Return a paired difference in points with interval, and p where there is one.

    Args:
        versus: a ``metrics.Comparison`` as a dict; None where nothing was compared.
        sign: -1 to show the difference the other way round.
    """
    if versus is None:
        return "-"
    bounds = sorted(sign * bound for bound in versus["ci95"])
    shown = f"{points(sign * versus['difference'])} {interval(bounds)}"
    return f"{shown}, {p_value(versus['p'])}" if "p" in versus else shown


def markdown(rows: Iterable[Any], columns: Columns) -> str:
    """Return rows as a markdown table; a column is a title and what it shows of a row."""
    lines = [f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]
    lines += [f"| {' | '.join(str(show(row)) for show in columns.values())} |" for row in rows]
    return "\n".join(lines)


def sections(parts: Mapping[str, str]) -> str:
    """Return texts under headings of the second level."""
    return "\n\n".join(f"## {title}\n\n{text}" for title, text in parts.items())
