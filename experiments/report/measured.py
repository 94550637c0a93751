"""What an earlier state of the project took and what it takes now, from one recorded run."""

import json
from pathlib import Path

from experiments.support.format import markdown

RECORDED = Path("docs/benchmark.json")


def measured() -> str:
    """Return both columns, and on which machine the new one was measured."""
    recorded = json.loads(RECORDED.read_text(encoding="utf-8"))
    table = markdown(
        recorded["rows"],
        {name: lambda row, name=name: row[name] for name in ("what", "before", "now")},
    )
    first, last = recorded["load"]
    setting = (
        f"One run of `python -m optimize.benchmark_table` at {recorded['commit']}, on "
        f"{recorded['processors']} processors with a load of {first:g} before and {last:g} after."
    )
    return f"{table}\n\n{setting}"
