"""What a synthesis was asked for and what came of it: report, provenance, the files."""

import json
import math
import random
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optimize.author import AT_ONCE, portions
from optimize.calibration import LEAST_REQUESTS
from optimize.data import SPLITS
from optimize.lm_stage import Answers
from optimize.provenance import commit
from optimize.sieve import Draft, Drop
from task_delegator.errors import InputError
from task_delegator.files import write_text
from task_delegator.registry import Registry
from task_delegator.text import fold

REPORT, PROVENANCE, DROPPED, ANSWERS = (
    "report.json", "provenance.jsonl", "dropped.jsonl", "answers.jsonl",
)  # fmt: skip
_DEFAULT_LIMIT = 3  # times the planned calls: unreadable answers and what filters take


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be synthesised.

    Attributes:
        domains: of work, in plain words.
        agents: per domain.
        requests: per agent, over all splits.
        max_lm_calls: hard limit over all runs of the same output; three times the planned
            calls where None.
        seed: of voices, splits and shuffles; an LM's sampling is its own.
    """

    domains: tuple[str, ...]
    agents: int
    requests: int = 10
    max_lm_calls: int | None = None
    seed: int = 0

    @property
    def planned(self) -> int:
        """LM calls if every answer can be used."""
        each = 1 + len(portions(self.requests))
        return len(self.domains) * (math.ceil(self.agents / AT_ONCE) + self.agents * each)

    @property
    def limit(self) -> int:
        """LM calls at most."""
        return _DEFAULT_LIMIT * self.planned if self.max_lm_calls is None else self.max_lm_calls

    def check(self) -> None:
        """Refuse what cannot be synthesised.

        Raises:
            InputError: it says what.
        """
        if not self.domains or not all(domain.strip() for domain in self.domains):
            raise InputError('--domains: name at least one, such as --domains "accounts payable"')
        if len({fold(domain) for domain in self.domains}) < len(self.domains):
            raise InputError("--domains: one is named twice")
        if self.agents < 2:
            raise InputError(f"--agents {self.agents}: a domain needs at least 2, to tell apart")
        if self.requests < 1:
            raise InputError(f"--requests {self.requests}: an agent needs at least 1")
        if self.limit < self.planned:
            raise InputError(
                f"--max-lm-calls {self.limit}: {self.planned} are needed; "
                "allow more, or ask for fewer domains, agents or requests"
            )


@dataclass(frozen=True, slots=True)
class Written:
    """What came of the LM's answers.

    Attributes:
        calls: that wrote each agent, by name.
        lost: agents and samples that were not kept, by reason.
        drafts: requests that the LM wrote.
        first: share of the kept ones whose agent retrieval puts first.
    """

    registry: Registry
    calls: Mapping[str, Sequence[str]]
    lost: Mapping[str, Mapping[str, int]]
    drafts: Sequence[Draft]
    kept: Sequence[Draft]
    dropped: Sequence[Drop]
    unreadable: int
    first: float


def split(kept: Sequence[Draft], seed: int) -> dict[str, list[Draft]]:
    """Deal each agent's requests, shuffled, to the splits, one agent after the other.

    The splits are of one size, but validation holds what compiling needs where there is enough.
    """
    own: dict[str, list[Draft]] = {}
    for draft in kept:
        own.setdefault(draft.agent, []).append(draft)
    shares = dict.fromkeys(SPLITS, 1 / 3)
    if LEAST_REQUESTS * 3 / 2 <= len(kept) < LEAST_REQUESTS * 3:
        rest = (1 - LEAST_REQUESTS / len(kept)) / 2
        shares = {"validation": LEAST_REQUESTS / len(kept), "test": rest, "train": rest}
    splits: dict[str, list[Draft]] = {name: [] for name in SPLITS}
    dealt = 0
    for agent, drafts in own.items():
        random.Random(f"{seed} {agent}").shuffle(drafts)
        for draft in drafts:
            dealt += 1
            behind = {name: share * dealt - len(splits[name]) for name, share in shares.items()}
            splits[max(behind, key=lambda name: (round(behind[name], 9), name))].append(draft)
    return splits


def report(
    wanted: Wanted,
    settings: Mapping[str, Any],
    written: Written,
    splits: Mapping[str, Sequence[Draft]],
    answers: Answers,
) -> dict[str, Any]:
    """Return what was asked, written, dropped and why, and kept, per stage."""
    names = [agent.name for agent in written.registry]
    have = Counter(draft.agent for draft in written.kept)
    samples = sum(len(agent.user_request_samples) for agent in written.registry)
    stages = answers.counts()
    return {
        "settings": settings,
        "commit": commit(),
        "calls": {
            "planned": wanted.planned,
            "limit": answers.limit,
            "made": sum(stage["calls"] for stage in stages.values()),
            "limit_reached": not answers.room,
            "stages": stages,
        },
        "agents": {
            "asked": wanted.agents * len(wanted.domains),
            "kept": len(names),
            "dropped": dict(written.lost["agents"]),
        },
        "samples": {"kept": samples, "dropped": dict(written.lost["samples"])},
        "requests": {
            "asked": wanted.requests * len(names),
            "written": len(written.drafts),
            "kept": len(written.kept),
            "dropped": dict(Counter(drop.reason for drop in written.dropped)),
            "questions_given_up": written.unreadable,
            "retrieval_first": round(written.first, 3),
            "splits": {name: len(drafts) for name, drafts in splits.items()},
            "voices": dict(Counter(draft.voice for draft in written.kept)),
            "compilable": len(splits["validation"]) >= LEAST_REQUESTS,
            "short": {name: have[name] for name in names if have[name] < wanted.requests},
        },
    }


def save(
    work: Path,
    out: Path,
    settings: Mapping[str, Any],
    written: Written,
    splits: Mapping[str, Sequence[Draft]],
) -> None:
    """Write the directory whole in the work folder, then give it its name.

    Raises:
        InputError: it cannot be written.
    """
    fresh = work / "dataset"
    shutil.rmtree(fresh, ignore_errors=True)
    written.registry.save(fresh / "agents.json")
    rows: list[dict[str, Any]] = []
    shared = {"lm": settings["lm"], "seed": settings["seed"]}
    for agent in written.registry:
        own = {"agent": agent.name, "domain": agent.domain, "calls": written.calls[agent.name]}
        rows.append({**own, **shared})
    for name, drafts in splits.items():
        requests: dict[str, list[str]] = {}
        for draft in drafts:
            requests.setdefault(draft.agent, []).append(draft.text)
            rows.append({"split": name, **_row(draft), **shared})
        labelled = [{"expected_agent_name": a, "user_requests": r} for a, r in requests.items()]
        write_text(fresh / SPLITS[name], json.dumps(labelled, indent=1) + "\n")
    write_text(fresh / PROVENANCE, _lines(rows))
    drops = [{"reason": drop.reason, **_row(drop.draft)} for drop in written.dropped]
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
