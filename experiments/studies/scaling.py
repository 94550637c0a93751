"""How does accuracy hold from 10 to 10,000 agents?

The program is compiled on our 70 agents; *frozen weights* keeps its weights as others join,
*refitted weights* fits them again, as compiling does. *minilm* is the same with the encoder as it
was published. Three conditions: no samples, five samples for each agent (real ones where there
are, else made from descriptions by template), and our own agents enriched. Below 70: subsets of
ours, random (each agent in 20 of them) or whole domains; a request's accuracy is its mean over the
subsets that hold its agent. Above: distractors (MCP servers, tools of Seal-Tools, ToolAlpaca,
APIBench, BFCL, and the public intent sets), with and without those nearer to one of ours than its
own domain, as the encoder that ships sees it. BM25 and embeddings run at their best settings on
the same validation requests. No LM is asked.
"""

import csv
import io
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from experiments.support.distractors import (
    Remembering,
    draw_distractors,
    has_real_samples,
    index_of,
    look_alikes,
    without_samples,
)
from experiments.support.format import difference, markdown, percent, points, rate
from experiments.support.quick import shrink
from experiments.support.subregistries import draw_subregistries, keep_requests
from experiments.support.terms import term
from optimize.config import Options
from optimize.data import OURS, Dataset, Request, load_dataset
from optimize.evaluation import BM25_B, BM25_K1, metrics, select
from optimize.pipeline import compile_program
from optimize.search import ScoredRequests, fit_weights
from task_delegator.delegator import Delegator
from task_delegator.embedders import DEFAULT, Encoded, embedder
from task_delegator.knobs import KnobValues, RetrievalKnobs
from task_delegator.registry import Agent, Registry
from task_delegator.retrieval import CHANNELS, Index

_TRIALS = 50
_SMALL, _DRAWS = (10, 20, 35, 50), 20
_LARGE = (70, 500, 2000, 10_000)
_EMBEDDINGS = ("description", "sample_best", "sample_mean")
_CONDITIONS = ("samples withheld", "samples for all", "agents completed")
_PUBLISHED = "minilm"  # the encoder that the default one was trained from
_REFITTED = "compiled, weights fitted again"
_OF_PUBLISHED = {name: f"{name}, {_PUBLISHED}" for name in ("compiled", _REFITTED)}


class Encodings:
    """An encoder and what it encoded: the same texts are in many registries."""

    def __init__(self, spec: str) -> None:
        self.spec, self.embed = spec, Remembering(embedder(spec))
        self.known = dict[str, Encoded]()

    def index(self, agents: Sequence[Agent]) -> Index:
        """Return the agents' index."""
        return index_of(agents, self.embed, self.known)


@dataclass(frozen=True, slots=True)
class Systems:
    """What is compared over the same index.

    Attributes:
        encodings: of the index.
        knobs: by name of the system, ``compiled`` among them.
        k: length of the compiled program's shortlist.
        train: requests to fit weights on again.
        named: what ``compiled`` and its refitted weights are called in rows.
    """

    encodings: Encodings
    knobs: Mapping[str, KnobValues]
    k: int
    train: Sequence[Request]
    named: Mapping[str, str]

    def ranks(self, agents: Sequence[Agent], requests: Sequence[Request]) -> dict[str, np.ndarray]:
        """Return by system the place of the first right agent, from 1, shape (n,)."""
        return self._ranks(ScoredRequests(self.encodings.index(agents), requests))

    def ranks_refitted(
        self, agents: Sequence[Agent], requests: Sequence[Request]
    ) -> dict[str, np.ndarray]:
        """Return what ``ranks`` does, and with weights that are fitted among these agents."""
        index = self.encodings.index(agents)
        again = fit_weights(ScoredRequests(index, self.train), self.knobs["compiled"])
        scored = ScoredRequests(index, requests)
        refitted = {self.named[_REFITTED]: scored.ranks(scored.fused(again))}
        return self._ranks(scored) | refitted

    def _ranks(self, scored: ScoredRequests) -> dict[str, np.ndarray]:
        return {
            self.named.get(name, name): scored.ranks(scored.fused(knobs))
            for name, knobs in self.knobs.items()
        }


def run(quick: bool) -> list[dict[str, Any]]:
    """Return one row per condition, size and system; quick: small sizes, few draws, validation."""
    split = "validation" if quick else "test"
    encodings = [Encodings(spec) for spec in ((DEFAULT,) if quick else (DEFAULT, _PUBLISHED))]
    rows = []
    for condition in _CONDITIONS[:: 2 if quick else 1]:
        ours = load_dataset(OURS, enriched=condition == "agents completed")
        ours = shrink(ours) if quick else ours
        agents, crowd = list(ours.registry), list[Agent]()
        if not (quick or condition == "agents completed"):
            crowd = draw_distractors(ours.registry, seed=0)
        if condition == "samples withheld":  # then an agent has to say at least what it does
            agents = without_samples(agents)
            crowd = without_samples([a for a in crowd if a.description])
        dataset = replace(ours, registry=Registry(agents)).without_plans()
        systems = [_compile_systems(dataset, own, 3 if quick else _TRIALS) for own in encodings]
        facts = {"condition": condition, "split": split}
        requests = select(dataset.splits[split], 20 if quick else None, seed=0)
        rows += [facts | row for row in _small(agents, requests, systems, quick)]
        if not quick:
            crowds = {"all distractors": crowd}
            if crowd:
                own = encodings[0]
                alike = look_alikes(agents, crowd, own.embed, own.known)
                crowds["look-alikes left out"] = [a for a in crowd if a.name not in alike]
            rows += [facts | row for row in _large(agents, crowds, requests, systems)]
    return rows


def _compile_systems(dataset: Dataset, encodings: Encodings, trials: int) -> Systems:
    """Compile for our 70 agents, and choose the others' settings on the same requests.

    The others are compared by the default encoder alone.
    """
    with tempfile.TemporaryDirectory() as out:
        folder = Path(out) / "program"
        options = Options(out=folder, preset="full", trials=trials, embedder=encodings.spec)
        program = compile_program(dataset, options, lm=None).program
    knobs = {"compiled": program.knobs.values}
    if encodings.spec != _PUBLISHED:
        knobs = _baselines(program, dataset) | knobs
    named = _OF_PUBLISHED if encodings.spec == _PUBLISHED else {_REFITTED: _REFITTED}
    k = program.knobs.values.retrieval.k
    return Systems(encodings, knobs, k, dataset.splits["train"], named)


def _baselines(program: Delegator, dataset: Dataset) -> dict[str, KnobValues]:
    """Return BM25 and embeddings at their best settings on validation."""
    index = program.retrieve.library.index({})
    train, validation = (
        ScoredRequests(index, dataset.splits[split]) for split in ("train", "validation")
    )
    settings = {
        "BM25": [_single_channel("bm25", bm25_k1=k1, bm25_b=b) for k1 in BM25_K1 for b in BM25_B],
        "embeddings": [
            fit_weights(train, KnobValues(), _EMBEDDINGS),
            *(_single_channel(channel) for channel in _EMBEDDINGS),
        ],
    }

    def accuracy(knobs: KnobValues) -> float:
        return float(np.mean(validation.ranks(validation.fused(knobs)) == 1))

    return {name: max(tried, key=accuracy) for name, tried in settings.items()}


def _single_channel(channel: str, **others: float) -> KnobValues:
    """Return knobs under which one channel alone ranks the agents."""
    weights: dict[str, Any] = dict.fromkeys(CHANNELS, 0.0) | {channel: 1.0} | others
    return KnobValues(retrieval=RetrievalKnobs(**weights))


def _small(
    agents: Sequence[Agent], requests: Sequence[Request], systems: Sequence[Systems], quick: bool
) -> Iterator[dict[str, Any]]:
    """Yield mean accuracy over draws of a few of our agents, requests of those agents alone.

    A request's accuracy is its mean over draws, and paired with that among all of ours; the
    intervals are bootstrapped over requests.
    """
    number, k = 1 if quick else _DRAWS, systems[0].k
    whole = {
        name: dict(zip(requests, found == 1, strict=True))
        for name, found in _joined(own.ranks(agents, requests) for own in systems).items()
    }
    for way in ("random draws", "own family first"):
        for size in _SMALL[: 1 if quick else None]:
            # Per system and request, its places over the draws that hold its agent.
            ranks: dict[str, dict[Request, list[int]]] = {name: {} for name in whole}
            registries = draw_subregistries(agents, size, number, way == "own family first")
            for drawn in tqdm(registries, desc=f"{way}, {size}", delay=3, leave=False):
                kept = keep_requests(requests, [agent.name for agent in drawn])
                if not kept:
                    continue
                asked = list(kept.values())
                places = _joined(own.ranks(drawn, asked) for own in systems)
                for name, found in places.items():
                    for request, place in zip(kept, found.tolist(), strict=True):
                        ranks[name].setdefault(request, []).append(place)
            for name, by_request in ranks.items():
                facts = {"growth": way, "agents": size, "system": name, "draws": number}
                yield facts | _means(by_request, whole[name], k)


def _joined(found: Iterable[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {name: ranks for own in found for name, ranks in own.items()}


def _means(
    by_request: Mapping[Request, Sequence[int]], whole: Mapping[Request, bool], k: int
) -> dict[str, Any]:
    """Return accuracy from each request's ranks over the draws that hold its agent.

    Args:
        by_request: ranks of the right agent.
        whole: whether the right agent is top-1 among all of ours.
        k: length of the shortlist.
    """
    each_request = [np.array(found) for found in by_request.values()]
    first = np.array([np.mean(found == 1) for found in each_request])
    more = first - np.array([whole[request] for request in by_request])
    return {
        "n": len(first),
        "top1": float(first.mean()),
        "top1_ci95": metrics.bootstrap_mean(first),
        "top3": float(np.mean([np.mean(found <= 3) for found in each_request])),
        "recall_at_k": float(np.mean([np.mean(found <= k) for found in each_request])),
        "k": k,
        "versus_70": {"difference": float(more.mean()), "ci95": metrics.bootstrap_mean(more)},
    }


def _large(
    agents: Sequence[Agent],
    crowds: Mapping[str, Sequence[Agent]],
    requests: Sequence[Request],
    systems: Sequence[Systems],
) -> Iterator[dict[str, Any]]:
    """Yield accuracy among ours and so many distractors."""
    k = systems[0].k
    base = _joined(own.ranks(agents, requests) for own in systems)
    facts = {"growth": "ours alone", "agents": len(agents)}
    yield from (facts | row for row in _compared(base, base, k))
    # Among ours the weights are those that were fitted.
    base |= {own.named[_REFITTED]: base[own.named.get("compiled", "compiled")] for own in systems}
    for growth, others in crowds.items():
        for size in _LARGE[1:] if others else ():
            gathered = [*agents, *others[: size - len(agents)]]
            found = _joined(own.ranks_refitted(gathered, requests) for own in systems)
            facts = {
                "growth": growth,
                "agents": len(gathered),
                "with_real_samples": sum(map(has_real_samples, gathered)),
            }
            yield from (facts | row for row in _compared(found, base, k))


def _compared(
    found: Mapping[str, np.ndarray], base: Mapping[str, np.ndarray], k: int
) -> Iterator[dict[str, Any]]:
    """Yield each system's accuracy, beside that among 70 agents and with the published encoder.

    Args:
        found, base: places of the right agents by system, among these agents and among 70.
        k: length of the shortlist.
    """
    for name, ranks in found.items():
        row = {"system": name} | _shares(ranks, k, base[name])
        published = found.get(_OF_PUBLISHED.get(name, ""))
        if published is not None:
            row["versus_published"] = asdict(metrics.compare(ranks == 1, published == 1))
        if name == _REFITTED:
            row["versus_compiled"] = asdict(metrics.compare(ranks == 1, found["compiled"] == 1))
        yield row


def _shares(found: np.ndarray, k: int, base: np.ndarray) -> dict[str, Any]:
    """Return accuracy from the right agents' places, beside those among 70 agents."""
    right = found == 1
    return {
        "n": len(found),
        "top1": float(right.mean()),
        "top1_ci95": metrics.wilson(int(right.sum()), len(right)),
        "top3": float(np.mean(found <= 3)),
        "recall_at_k": float(np.mean(found <= k)),
        "k": k,
        "versus_70": asdict(metrics.compare(right, base == 1)),
    }


def table(rows: list[dict[str, Any]]) -> str:
    """Return accuracy by size at the sizes that matter; all rows are in the CSV."""
    compared = ("BM25", "compiled", _REFITTED, *_OF_PUBLISHED.values())
    shown = [row for row in rows if row["agents"] in (10, 70, 10_000) and row["system"] in compared]
    return "All rows: [scaling.csv](scaling.csv).\n\n" + markdown(
        shown,
        {
            "condition": lambda r: term(r["condition"]),
            "registry": lambda r: term(r["growth"]),
            "agents": lambda r: f"{r['agents']:,}",
            "system": lambda r: term(r["system"]),
            "n": lambda r: r["n"],
            "top-1 [95% CI]": lambda r: rate(r, "top1"),
            "top-3": lambda r: percent(r["top3"]),
            "difference to 70 agents, points": lambda r: difference(r["versus_70"]),
            f"less {_PUBLISHED}'s, points": lambda r: difference(r.get("versus_published")),
        },
    )


def sheet(rows: list[dict[str, Any]]) -> str:
    """Return all rows as CSV; nested values under joined names, columns as they first appear."""
    flat = [dict(_flattened(row)) for row in rows]
    columns = list(dict.fromkeys(name for row in flat for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(flat)
    return text.getvalue()


def _flattened(row: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in row.items():
        if isinstance(value, Mapping):
            yield from ((f"{name}_{inner}", found) for inner, found in _flattened(value))
        elif isinstance(value, list | tuple):
            yield from zip((f"{name}_low", f"{name}_high"), value, strict=True)
        else:
            yield name, value


def answer(rows: list[dict[str, Any]]) -> str:
    """Return the points lost from 70 to 10,000 agents that have samples, weights refitted."""
    lost = {}
    for system in ("BM25", _REFITTED):
        row = row_of(rows, "samples for all", "look-alikes left out", 10_000, system)
        lost[system] = points(row["versus_70"]["difference"])
    return f"{lost[_REFITTED]} points from 70 to 10,000 agents after refitting; BM25 {lost['BM25']}"


def row_of(
    rows: list[dict[str, Any]], condition: str, growth: str, agents: int, system: str
) -> dict[str, Any]:
    """Return the row of one condition, registry, size and system."""
    wanted = (condition, growth, agents, system)
    keys = ("condition", "growth", "agents", "system")
    return next(row for row in rows if tuple(row[key] for key in keys) == wanted)
