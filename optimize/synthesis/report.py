"""Write a synthetic dataset: splits, report of what was kept and dropped, provenance."""

import json
import random
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optimize.calibration import LEAST_REQUESTS
from optimize.data import SPLITS
from optimize.lm_stage import ResponseCache
from optimize.provenance import commit
from optimize.synthesis.filters import Draft, Drop
from optimize.synthesis.spec import SynthesisSpec
from task_delegator.errors import InputError
from task_delegator.registry import Registry
from task_delegator.system import write_text

REPORT, PROVENANCE, DROPPED, ANSWERS = (
    "report.json", "provenance.jsonl", "dropped.jsonl", "answers.jsonl",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class SynthesisResult:
    """Agents and requests that an LM wrote, after the filters.

    Attributes:
        calls: ids of the LM calls that wrote each agent, by name.
        dropped_counts: dropped agents and samples, by reason.
        drafts: requests that the LM wrote.
        retrieval_top1: share of the kept requests whose agent retrieval ranks first.
    """

    registry: Registry
    calls: Mapping[str, Sequence[str]]
    dropped_counts: Mapping[str, Mapping[str, int]]
    drafts: Sequence[Draft]
    kept: Sequence[Draft]
    dropped: Sequence[Drop]
    unreadable: int
    retrieval_top1: float


def split_requests(kept: Sequence[Draft], seed: int) -> dict[str, list[Draft]]:
    """Deal each agent's requests, shuffled, to the splits, one agent after the other.

    The splits are of one size, but validation holds what compiling needs where there is enough.
    """
    by_agent: dict[str, list[Draft]] = {}
    for draft in kept:
        by_agent.setdefault(draft.agent, []).append(draft)
    shares = dict.fromkeys(SPLITS, 1 / 3)
    if LEAST_REQUESTS * 3 / 2 <= len(kept) < LEAST_REQUESTS * 3:
        rest = (1 - LEAST_REQUESTS / len(kept)) / 2
        shares = {"validation": LEAST_REQUESTS / len(kept), "test": rest, "train": rest}
    splits: dict[str, list[Draft]] = {name: [] for name in SPLITS}
    dealt = 0
    for agent, drafts in by_agent.items():
        random.Random(f"{seed} {agent}").shuffle(drafts)
        for draft in drafts:
            dealt += 1
            behind = {name: share * dealt - len(splits[name]) for name, share in shares.items()}
            splits[max(behind, key=lambda name: (round(behind[name], 9), name))].append(draft)
    return splits


def build_report(
    spec: SynthesisSpec,
    settings: Mapping[str, Any],
    result: SynthesisResult,
    splits: Mapping[str, Sequence[Draft]],
    answers: ResponseCache,
) -> dict[str, Any]:
    """Return what was asked, written, dropped and why, and kept, per stage."""
    names = [agent.name for agent in result.registry]
    counts = Counter(draft.agent for draft in result.kept)
    samples = sum(len(agent.user_request_samples) for agent in result.registry)
    stages = answers.counts()
    return {
        "settings": settings,
        "commit": commit(),
        "calls": {
            "planned": spec.planned_calls,
            "limit": answers.limit,
            "made": sum(stage["calls"] for stage in stages.values()),
            "limit_reached": not answers.room,
            "stages": stages,
        },
        "agents": {
            "asked": spec.agents * len(spec.domains),
            "kept": len(names),
            "dropped": dict(result.dropped_counts["agents"]),
        },
        "samples": {"kept": samples, "dropped": dict(result.dropped_counts["samples"])},
        "requests": {
            "asked": spec.requests * len(names),
            "written": len(result.drafts),
            "kept": len(result.kept),
            "dropped": dict(Counter(drop.reason for drop in result.dropped)),
            "questions_given_up": result.unreadable,
            "retrieval_first": round(result.retrieval_top1, 3),
            "splits": {name: len(drafts) for name, drafts in splits.items()},
            "voices": dict(Counter(draft.voice for draft in result.kept)),
            "compilable": len(splits["validation"]) >= LEAST_REQUESTS,
            "short": {name: counts[name] for name in names if counts[name] < spec.requests},
        },
    }


def save_dataset(
    work: Path,
    out: Path,
    settings: Mapping[str, Any],
    result: SynthesisResult,
    splits: Mapping[str, Sequence[Draft]],
) -> None:
    """Write the directory whole in the work folder, then give it its name.

    Raises:
        InputError: it cannot be written.
    """
    fresh = work / "dataset"
    shutil.rmtree(fresh, ignore_errors=True)
    result.registry.save(fresh / "agents.json")
    rows: list[dict[str, Any]] = []
    shared = {"lm": settings["lm"], "seed": settings["seed"]}
    for agent in result.registry:
        source = {"agent": agent.name, "domain": agent.domain, "calls": result.calls[agent.name]}
        rows.append({**source, **shared})
    for name, drafts in splits.items():
        requests: dict[str, list[str]] = {}
        for draft in drafts:
            requests.setdefault(draft.agent, []).append(draft.text)
            rows.append({"split": name, **_row(draft), **shared})
        labeled = [{"expected_agent_name": a, "user_requests": r} for a, r in requests.items()]
        write_text(fresh / SPLITS[name], json.dumps(labeled, indent=1) + "\n")
    write_text(fresh / PROVENANCE, _lines(rows))
    drops = [{"reason": drop.reason, **_row(drop.draft)} for drop in result.dropped]
    write_text(fresh / DROPPED, _lines(drops))
    for name in (ANSWERS, REPORT):
        shutil.copyfile(work / name, fresh / name)
    try:
        fresh.replace(out)
    except OSError as error:
        raise InputError(f"{out}: cannot be written: {error.strerror}") from error


def _row(draft: Draft) -> dict[str, Any]:
    return {
        "user_request": draft.text,
        "agent": draft.agent,
        "domain": draft.domain,
        "voice": draft.voice,
        "calls": [draft.call],
    }


def _lines(rows: Sequence[Mapping[str, Any]]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
