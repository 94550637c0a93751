"""Measure what a delegation does at each fault of its LM: ``python tests/support/fault_table.py``.

Writes ``docs/faults.json``, from which docs/lm.md's table is made (``python -m
experiments.report``). ``tests/program/test_lm_faults.py`` measures again and compares.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, Literal, get_args

import dspy
from faults import FAULTS, FaultServer
from small import HashedWords, office_registry

from task_delegator.delegation import Delegation
from task_delegator.delegator import Delegator
from task_delegator.errors import LMError
from task_delegator.lm import forget_circuits

RECORDED = Path(__file__).parents[2] / "docs" / "faults.json"
SECONDS = 2.0  # of the tasks' deadline
RETRIES = 2
TASK = "refund my order"
Policy = Literal["degrade", "raise"]


@dataclass(frozen=True)
class Measured:
    """What came of two tasks in a row.

    Attributes:
        outcome: of the first: the decision and how it is marked, or the error's type.
        seconds: that the first took.
        requests: that the first sent.
        next_seconds, next_requests: of the second.
    """

    fault: str
    policy: str
    outcome: str
    seconds: float
    requests: int
    next_seconds: float
    next_requests: int


def program(lm: Any, policy: Policy = "degrade", timeout: float | None = SECONDS) -> Delegator:
    """Return a program that asks its LM at every task and believes it."""
    made = Delegator(office_registry(), HashedWords(), lm=lm, on_lm_failure=policy, timeout=timeout)
    made.knobs.set({"lm.ask_settled": True, "lm.weight": 1.0, "lm.repeats": 1, "lm.orders": 1})
    return made


def hosted(server: FaultServer, **settings: Any) -> dspy.LM:
    """Return a hosted LM that has this server's address and two retries."""
    asked = {
        "cache": False,
        "num_retries": RETRIES,
        "logprobs": True,
        "top_logprobs": 20,
    } | settings
    return dspy.LM("openai/gpt-4o-mini", api_base=server.url, api_key="key", **asked)


def outcome_of(delegate: Delegator) -> str:
    """Return what a task comes to, in words."""
    try:
        return words(delegate(TASK))
    except LMError as error:
        return type(error).__name__


def words(delegation: Delegation) -> str:
    """Return a decision and how it is marked."""
    failure = delegation.evidence.lm_failure
    return delegation.decision if failure is None else f"{delegation.decision}, {failure.fault}"


def measure(fault: str, policy: Policy) -> Measured:
    """Delegate two tasks in a row to a program whose LM has a fault."""
    forget_circuits()
    program(None)(TASK)  # imports and the index are not timed
    with FaultServer(fault) as server:
        delegate = program(hosted(server), policy)
        delegate.retrieve(task=TASK, knobs=delegate.knobs.values)
        started = perf_counter()
        outcome = outcome_of(delegate)
        first, requests = perf_counter() - started, server.requests
        outcome_of(delegate)
        second = perf_counter() - started - first
        later = server.requests - requests
    forget_circuits()
    return Measured(fault, policy, outcome, round(first, 1), requests, round(second, 1), later)


def main() -> None:
    """Measure every fault with both policies, and write what came of it."""
    rows = [asdict(measure(fault, policy)) for fault in FAULTS for policy in get_args(Policy)]
    RECORDED.write_text(
        json.dumps({"timeout": SECONDS, "num_retries": RETRIES, "rows": rows}, indent=1) + "\n"
    )


if __name__ == "__main__":
    main()
