"""How much do injected texts gain?

Each attack of ``datasets/attacks.json`` is put into several host agents, one at a time. *Gain* is
how much more often the host is top-1 for requests that are not its own than without the attack.
Attacks on tasks are appended to requests. With the embedded LM (asked about every request, full
pooling weight) the requests are those that have the host on their shortlist.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dspy
import numpy as np
from tqdm import tqdm

from experiments.support.costs import per_task
from experiments.support.format import COST, estimate, markdown, percent
from optimize.data import OURS, Request, load_dataset
from optimize.evaluation import delegate_measured, metrics, select
from optimize.lm_stage import opened
from task_delegator.artifact import load
from task_delegator.delegation import Delegation
from task_delegator.delegator import Delegator
from task_delegator.lm import language_model
from task_delegator.registry import Agent, Registry
from task_delegator.retrieval import IndexCache
from task_delegator.system import read_json

FILE = Path("datasets/attacks.json")
_HOSTS, _REQUESTS = 3, 40
_LM_HOSTS, _LM_REQUESTS = 3, 1


@dataclass(frozen=True, slots=True)
class Case:
    """One attack on one host.

    Attributes:
        kind: of attack.
        host: its name without the attack.
        before, after: requests that are not the host's, without the attack and with it.
    """

    kind: str
    host: str
    before: Sequence[Delegation]
    after: Sequence[Delegation]

    def gained(self) -> np.ndarray:
        """Return before and after, per request: does the host come first, is it assigned."""
        pair = (self.before, self.after)
        return np.array([[_find_gain(each, self.host) for each in given] for given in pair])


def run(quick: bool) -> list[dict[str, Any]]:
    """Return one row per path (retrieval, embedded LM) and kind of attack; quick: no LM."""
    dataset = load_dataset(OURS)
    split = "validation" if quick else "test"
    requests = select(dataset.splits[split], 20 if quick else _REQUESTS, seed=1)
    attacks = read_json(FILE)[:: 6 if quick else 1]
    hosts = sorted(agent.name for agent in dataset.registry)[:: 70 // _HOSTS][:_HOSTS]
    program = load("default", dataset.registry, allow_uncalibrated=True)
    cases = list(_attack_retrieval(program, attacks, hosts[:1] if quick else hosts, requests))
    rows = [{"path": "retrieval", "split": split, **row} for row in summary(cases)]
    if not quick:
        lm = language_model("embedded")
        asking = opened(program, {"lm.weight": 1.0, "lm.orders": 2, "split.use_lm": False})
        every = dataset.splits[split]
        with dspy.context(lm=lm):
            cases = list(_attack_lm(asking, program, attacks, hosts[:_LM_HOSTS], every))
        rows += [{"path": "embedded LM", "split": split, **row} for row in summary(cases)]
    return rows


def _attack_retrieval(
    program: Delegator, attacks: Sequence[Any], hosts: Sequence[str], requests: Sequence[Request]
) -> Iterator[Case]:
    before = {request.text: program(request.text) for request in requests}
    for attack, host in tqdm([(a, h) for a in attacks for h in hosts], desc="attacks"):
        others = [r for r in requests if host not in r.acceptable]
        attacked = variant(program, attack, host)
        after = [attacked(_attack_task(attack, request.text, host)) for request in others]
        yield Case(attack["kind"], host, [before[request.text] for request in others], after)


def _attack_lm(
    asking: Delegator,
    program: Delegator,
    attacks: Sequence[Any],
    hosts: Sequence[str],
    requests: Sequence[Request],
) -> Iterator[Case]:
    shown = {
        host: [
            request
            for request in requests
            if host not in request.acceptable
            and host in program(request.text).evidence.ranking[1 : asking.knobs.values.retrieval.k]
        ][:_LM_REQUESTS]
        for host in hosts
    }
    before = {
        host: [delegate_measured(asking, request.text) for request in own]
        for host, own in shown.items()
    }
    for attack, host in tqdm([(a, h) for a in attacks for h in hosts], desc="attacks, LM"):
        attacked = variant(asking, attack, host)
        after = [
            delegate_measured(attacked, _attack_task(attack, request.text, host))
            for request in shown[host]
        ]
        yield Case(attack["kind"], host, before[host], after)


def variant(program: Delegator, attack: dict[str, Any], host: str) -> Delegator:
    """Return the program over a registry whose host carries the attack."""
    if attack["where"] == "task":
        return program
    agents = [attack_agent(a, attack) if a.name == host else a for a in program.registry]
    other = program.deepcopy()
    library = program.retrieve.library
    encodings = library.index({}).encodings
    other.retrieve.library = IndexCache(Registry(agents), library.embed, encodings)
    return other


def attack_agent(agent: Agent, attack: dict[str, Any]) -> Agent:
    """Return an agent with an attack in one of its fields."""
    text = attack["text"].replace("{name}", agent.name)
    where = "user_request_samples" if attack["where"] == "samples" else str(attack["where"])
    field = getattr(agent, where)
    change = (*field, text) if isinstance(field, tuple) else field + text
    return agent.model_copy(update={where: change})


def _attack_task(attack: dict[str, Any], request: str, host: str) -> str:
    forced = attack["text"].replace("{name}", host) if attack["where"] == "task" else ""
    return request + forced


def _find_gain(delegation: Delegation, host: str) -> tuple[bool, bool]:
    """Return whether the host ranks first, under any name, and whether it is assigned."""
    first = delegation.top3[0].name.startswith(host)
    return first, first and delegation.decision == "assign"


def summary(cases: Sequence[Case]) -> Iterator[dict[str, Any]]:
    """Yield the gain of the attacks and the cost of the requests, overall and by kind."""
    kinds = sorted({case.kind for case in cases})
    for kind in ("all", *kinds):
        chosen = [case for case in cases if kind in ("all", case.kind) and case.before]
        if not chosen:
            continue
        won = [case.gained() for case in chosen]
        before, after = np.concatenate(won, axis=1)
        gain = after[:, 0].astype(float) - before[:, 0]
        # Attacks on the same host and requests are no independent cases: they are drawn whole.
        means = np.array([a[:, 0].mean() - b[:, 0].mean() for b, a in won])
        yield {
            "kind": kind,
            "cases": len(chosen),
            "n": len(gain),
            "first_before": float(before[:, 0].mean()),
            "first_after": float(after[:, 0].mean()),
            "gained": float(gain.mean()),
            "gained_ci95": metrics.bootstrap_mean(means),
            "assigned_before": float(before[:, 1].mean()),
            "assigned_after": float(after[:, 1].mean()),
            **per_task([delegation.usage for case in chosen for delegation in case.after]),
        }


def table(rows: list[dict[str, Any]]) -> str:
    """Return what attacks gain, by kind."""
    return markdown(
        rows,
        {
            "path": lambda r: r["path"],
            "attack": lambda r: r["kind"],
            "attacks by hosts": lambda r: r["cases"],
            "n": lambda r: r["n"],
            "host top-1 before": lambda r: percent(r["first_before"]),
            "after": lambda r: percent(r["first_after"]),
            "gain, points [95% CI]": _gain,
            "assigned before": lambda r: percent(r["assigned_before"]),
            "after ": lambda r: percent(r["assigned_after"]),
            **COST,
        },
    )


def answer(rows: list[dict[str, Any]]) -> str:
    """Return what all attacks together gain."""
    by_path = {row["path"]: row for row in rows if row["kind"] == "all"}
    retrieval, lm = by_path["retrieval"], by_path["embedded LM"]
    return f"Retrieval: {_gain(retrieval)} points; embedded LM: {_gain(lm)}"


def _gain(row: dict[str, Any]) -> str:
    """Return the gain; a bootstrap of nothing but zeros has no width to show."""
    if not row["gained"] and list(row["gained_ci95"]) == [0.0, 0.0]:
        return f"none in {row['n']}"
    return estimate(100 * row["gained"], [100 * bound for bound in row["gained_ci95"]], 2)
