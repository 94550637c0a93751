"""What a delegation comes to at each fault of its LM, from what the tests recorded."""

import json
from pathlib import Path
from typing import Any

from experiments.support.format import markdown

RECORDED = Path("docs/faults.json")


def faults() -> str:
    """Return outcome, seconds and requests by fault and policy, of a task and of the next."""
    recorded = json.loads(RECORDED.read_text(encoding="utf-8"))
    table = markdown(
        recorded["rows"],
        {
            "fault": lambda row: row["fault"],
            "policy": lambda row: f"`{row['policy']}`",
            "outcome": _outcome,
            "seconds": lambda row: f"{row['seconds']:.1f}",
            "requests": lambda row: str(row["requests"]),
            "next task: seconds": lambda row: f"{row['next_seconds']:.1f}",
            "requests ": lambda row: str(row["next_requests"]),
        },
    )
    setting = (
        f"One LM call a task, `timeout={recorded['timeout']:g}`, "
        f"`num_retries={recorded['num_retries']}`, DSPy's native client and a server on loopback; "
        "a refused connection is no request."
    )
    return f"{table}\n\n{setting}"


def _outcome(row: dict[str, Any]) -> str:
    decision, _, fault = row["outcome"].partition(", ")
    return f"retrieval's decision, marked `{fault}`" if fault else f"`{decision}`"
