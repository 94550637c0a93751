"""Are follow-ups ("and the other one?") routed by what they refer to?

Forty written for this: thirty follow-ups and ten new subjects, half to develop the rule
(validation), half to measure it (test), in datasets/probes/follow_ups.jsonl. Beside them what the
rule costs: out-of-scope requests and whole requests of the validation split, each after an
unrelated request. No LM.
"""

import json
from typing import Any

from experiments.support.format import markdown, percent
from optimize.data import OURS, Dataset, load_dataset
from optimize.evaluation import metrics
from task_delegator.artifact import load
from task_delegator.delegation import Delegation
from task_delegator.delegator import Delegator

_FILE = OURS / "probes" / "follow_ups.jsonl"


def run(quick: bool) -> list[dict[str, Any]]:
    """Return a row per set of tasks, alone and with history; quick takes the validation half."""
    dataset = load_dataset(OURS)
    program = load("default", dataset.registry)
    lines = _FILE.read_text(encoding="utf-8").splitlines()
    written = [json.loads(line) for line in lines]
    found = []
    for split in ("validation",) if quick else ("validation", "test"):
        for kind in ("follow-up", "new subject"):
            rows = [row for row in written if (row["split"], row["kind"]) == (split, kind)]
            tasks = [(row["user_request"], row["history"]) for row in rows]
            labels = [(row["expected_agent_name"],) for row in rows]
            found.append(_row(program, f"{kind}s", split, tasks, labels))
    return [*found, *_unrelated(program, dataset)]


def _unrelated(program: Delegator, dataset: Dataset) -> list[dict[str, Any]]:
    """Return rows of tasks that refer to nothing, each after a request for another agent."""
    requests = dataset.splits["validation"]
    outside = dataset.out_of_scope["validation"]

    def after(texts: list[str]) -> list[tuple[str, list[str]]]:
        turns = [requests[(7 * number + 3) % len(requests)].text for number in range(len(texts))]
        return [(text, [turn]) for text, turn in zip(texts, turns, strict=True)]

    whole = after([request.text for request in requests])
    labels = [request.acceptable for request in requests]
    return [
        _row(program, "whole requests", "validation", whole, labels),
        _row(program, "out of scope", "validation", after(list(outside)), [()] * len(outside)),
    ]


def _row(
    program: Delegator,
    name: str,
    split: str,
    tasks: list[tuple[str, list[str]]],
    labels: list[tuple[str, ...]],
) -> dict[str, Any]:
    alone = [program(task) for task, _ in tasks]
    told = [program(task, history=history) for task, history in tasks]
    row: dict[str, Any] = {"requests": name, "split": split, "n": len(tasks)}
    row["read"] = sum(answer.evidence.read_as is not None for answer in told)
    for key, answers in (("alone", alone), ("history", told)):
        right = sum(map(_is_right, answers, labels))
        row[key] = {
            "top1": right / len(tasks),
            "top1_ci95": metrics.wilson(right, len(tasks)),
            "assign": sum(answer.decision == "assign" for answer in answers),
        }
    return row


def _is_right(answer: Delegation, acceptable: tuple[str, ...]) -> bool:
    return answer.top3[0].name in acceptable


def table(rows: list[dict[str, Any]]) -> str:
    """Return accuracy and assigned tasks, alone and with history."""

    def shown(row: dict[str, Any], key: str) -> str:
        if row["requests"] == "out of scope":
            return "-"
        low, high = row[key]["top1_ci95"]
        return f"{percent(row[key]['top1'])} ({percent(low)} to {percent(high)})"

    return markdown(
        rows,
        {
            "requests": lambda r: f"{r['requests']}, {r['split']}",
            "n": lambda r: r["n"],
            "top-1 alone": lambda r: shown(r, "alone"),
            "top-1 with history": lambda r: shown(r, "history"),
            "read with history": lambda r: r["read"],
            "assigned alone, with history": lambda r: (
                f"{r['alone']['assign']}, {r['history']['assign']}"
            ),
        },
    )


def answer(rows: list[dict[str, Any]]) -> str:
    """Return how many follow-ups of the test half are routed right, alone and with history."""
    row = next(r for r in rows if (r["requests"], r["split"]) == ("follow-ups", "test"))
    alone, told = (percent(row[key]["top1"]) for key in ("alone", "history"))
    return f"Test, n {row['n']}: {alone} alone, {told} with history"
