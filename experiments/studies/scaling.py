"""How does accuracy hold from 10 to 10,000 agents?

The program is compiled on our 70 agents; *frozen weights* keeps its weights as others join,
*refitted weights* fits them again, as compiling does. Three conditions: no samples, five samples
for each agent (real ones where there are, else made from descriptions by template), and our own
agents enriched. Below 70: subsets of ours, random (each agent in 20 of them) or whole domains; a
request's accuracy is its mean over the subsets that hold its agent. Above: distractors (MCP
servers, tools of Seal-Tools, ToolAlpaca, APIBench, BFCL, and the public intent sets), with and
without those nearer to one of ours than its own domain. BM25 and embeddings run at their best
settings on the same validation requests. The embedded LM is asked about 40 requests, a shortlist
of five in two orders; its adapter was trained on some distractors, not on ours. Milliseconds are
medians on one core; those of *enriched agents* were taken beside another job.
"""

import csv
import io
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import dspy
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
from experiments.support.format import difference, markdown, percent, points, rate, sections
from experiments.support.lm_pooling import PLACES, ask, ask_always, fit_lm_weight, pooled_ranks
from experiments.support.quick import shrink
from experiments.support.subregistries import draw_subregistries, keep_requests
from experiments.support.terms import term
from experiments.support.timing import latencies, measure_latency
from optimize.config import Options
from optimize.data import OURS, Dataset, Request, load_dataset
from optimize.evaluation import BM25_B, BM25_K1, delegate_measured, metrics, select
from optimize.lm_stage import ResponseCache
from optimize.pipeline import compile_program
from optimize.search import ScoredRequests, fit_weights
from task_delegator.delegator import Delegator
from task_delegator.embedders import Embedder, Encoded
from task_delegator.embedders.tuned_encoder import DefaultEncoder
from task_delegator.knobs import KnobValues, RetrievalKnobs
from task_delegator.lm import language_model
from task_delegator.registry import Agent, Registry
from task_delegator.retrieval import CHANNELS, IndexCache

_TRIALS = 50
_SMALL, _DRAWS = (10, 20, 35, 50), 20
_LARGE = (70, 500, 2000, 10_000)
_TIMED, _TIMED_LM = 60, 4  # requests whose latency is measured, without and with the LM
_EMBEDDINGS = ("description", "sample_best", "sample_mean")
_CONDITIONS = ("samples withheld", "samples for all", "agents completed")
_REFITTED = "compiled, weights fitted again"
_WITH_LM = "compiled, with the embedded LM"
_FITTED, _HEARD = 20, 40  # requests that the LM is asked about: validation, test
_KEPT, _MOST_CALLS = Path("runs/scaling"), 2000


@dataclass(frozen=True, slots=True)
class Systems:
    """What is compared: knobs by name of the system, all over the same index.

    Attributes:
        program: the compiled program; its knobs are those of ``compiled``.
        train: requests to fit weights on again.
        validation: requests to fit the LM's weight on.
    """

    knobs: Mapping[str, KnobValues]
    program: Delegator
    train: Sequence[Request]
    validation: Sequence[Request]


def run(quick: bool) -> list[dict[str, Any]]:
    """Return one row per condition, size and system; quick: small sizes, few draws, validation."""
    split = "validation" if quick else "test"
    # Nothing from the user's cache: how long an index takes to build is measured.
    embed, encodings = Remembering(DefaultEncoder()), dict[str, Encoded]()
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
        systems = _compile_systems(dataset, trials=3 if quick else _TRIALS)
        facts = {"condition": condition, "split": split}
        requests = select(dataset.splits[split], 20 if quick else None, seed=0)
        rows += [facts | r for r in _small(agents, requests, systems, embed, encodings, quick)]
        if not quick:
            crowds = {"all distractors": crowd}
            if crowd:
                alike = look_alikes(agents, crowd, embed, encodings)
                crowds["look-alikes left out"] = [a for a in crowd if a.name not in alike]
            rows += [facts | r for r in _large(agents, crowds, requests, systems, embed, encodings)]
            _KEPT.mkdir(parents=True, exist_ok=True)
            path = _KEPT / f"{condition.replace(' ', '-')}.jsonl"
            with ResponseCache(path, _MOST_CALLS) as answers:
                asked = _with_embedded_lm(agents, crowds, requests, systems, answers, encodings)
                rows += [facts | row for row in asked]
    return rows


def _compile_systems(dataset: Dataset, trials: int) -> Systems:
    """Compile for our 70 agents, and choose the others' settings on the same requests."""
    with tempfile.TemporaryDirectory() as out:
        options = Options(out=Path(out) / "program", preset="full", trials=trials)
        program = compile_program(dataset, options, lm=None).program
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
        "compiled": [program.knobs.values],
    }

    def accuracy(knobs: KnobValues) -> float:
        return float(np.mean(validation.ranks(validation.fused(knobs)) == 1))

    knobs = {name: max(tried, key=accuracy) for name, tried in settings.items()}
    return Systems(knobs, program, dataset.splits["train"], dataset.splits["validation"])


def _single_channel(channel: str, **others: float) -> KnobValues:
    """Return knobs under which one channel alone ranks the agents."""
    weights: dict[str, Any] = dict.fromkeys(CHANNELS, 0.0) | {channel: 1.0} | others
    return KnobValues(retrieval=RetrievalKnobs(**weights))


def _small(
    agents: Sequence[Agent],
    requests: Sequence[Request],
    systems: Systems,
    embed: Embedder,
    encodings: dict[str, Encoded],
    quick: bool,
) -> Iterator[dict[str, Any]]:
    """Yield mean accuracy over draws of a few of our agents, requests of those agents alone.

    A request's accuracy is its mean over draws, and paired with that among all of ours; the
    intervals are bootstrapped over requests.
    """
    number, k = 1 if quick else _DRAWS, systems.program.knobs.values.retrieval.k
    everyone = ScoredRequests(index_of(agents, embed, encodings), requests)
    whole = {
        name: dict(zip(requests, everyone.ranks(everyone.fused(knobs)) == 1, strict=True))
        for name, knobs in systems.knobs.items()
    }
    for way in ("random draws", "own family first"):
        for size in _SMALL[: 1 if quick else None]:
            # Per system and request, its places over the draws that hold its agent.
            ranks: dict[str, dict[Request, list[int]]] = {name: {} for name in systems.knobs}
            registries = draw_subregistries(agents, size, number, way == "own family first")
            for drawn in tqdm(registries, desc=f"{way}, {size}", delay=3, leave=False):
                index = index_of(drawn, embed, encodings)
                own = keep_requests(requests, index.names)
                if not own:
                    continue
                scored = ScoredRequests(index, list(own.values()))
                for name, knobs in systems.knobs.items():
                    found = scored.ranks(scored.fused(knobs)).tolist()
                    for request, place in zip(own, found, strict=True):
                        ranks[name].setdefault(request, []).append(place)
            for name, by_request in ranks.items():
                facts = {"growth": way, "agents": size, "system": name, "draws": number}
                yield facts | _means(by_request, whole[name], k)


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
    systems: Systems,
    embed: Embedder,
    encodings: dict[str, Encoded],
) -> Iterator[dict[str, Any]]:
    """Yield accuracy, latency and memory among ours and so many distractors."""
    base: dict[str, np.ndarray] = {}
    for growth, others in crowds.items():
        for size in _LARGE if others else _LARGE[:1]:
            if size == _LARGE[0] and base:
                continue
            gathered = [*agents, *others[: size - len(agents)]]
            encoded, started = len(encodings), perf_counter()
            index = index_of(gathered, embed, encodings)
            built = {
                "build_seconds": perf_counter() - started,
                # The others were encoded for a smaller size.
                "texts_encoded": len(encodings) - encoded,
            }
            scored = ScoredRequests(index, requests)
            ranks = {name: scored.ranks(scored.fused(k)) for name, k in systems.knobs.items()}
            if size > _LARGE[0]:
                again = fit_weights(ScoredRequests(index, systems.train), systems.knobs["compiled"])
                ranks[_REFITTED] = scored.ranks(scored.fused(again))
            program = _program_over(systems.program, gathered, encodings)
            cost = latencies(program, systems.knobs, requests, _TIMED)
            cost["compiled"] |= built
            base = base or ranks | {_REFITTED: ranks["compiled"]}
            facts = {
                "growth": growth if size > _LARGE[0] else "ours alone",
                "agents": len(gathered),
                "with_real_samples": sum(map(has_real_samples, gathered)),
            }
            for name, found in ranks.items():
                shares = _shares(found, systems.program.knobs.values.retrieval.k, base[name])
                if name == _REFITTED:
                    versus = metrics.compare(found == 1, ranks["compiled"] == 1)
                    shares["versus_compiled"] = asdict(versus)
                yield facts | {"system": name} | shares | cost.get(name, {})


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


def _with_embedded_lm(
    agents: Sequence[Agent],
    crowds: Mapping[str, Sequence[Agent]],
    requests: Sequence[Request],
    systems: Systems,
    answers: ResponseCache,
    encodings: Mapping[str, Encoded],
) -> Iterator[dict[str, Any]]:
    """Yield the LM's gain, at the pooling weight that is fitted on our agents."""
    lm = language_model("embedded")
    fitting = select(systems.validation, _FITTED, seed=0)
    weight = fit_lm_weight(ask(systems.program, fitting, lm, answers)[0])
    asked = select(requests, _HEARD, seed=2)
    base = np.array([])
    others = crowds.get("look-alikes left out", [])
    for size in _LARGE if others else _LARGE[:1]:
        gathered = [*agents, *others[: size - len(agents)]]
        program = _program_over(systems.program, gathered, encodings)
        outcomes, tokens = ask(program, asked, lm, answers)
        found, without = pooled_ranks(outcomes, weight), pooled_ranks(outcomes, 0.0)
        base = base if len(base) else found
        with dspy.context(lm=lm):  # train requests: what is measured may be in its prefix cache
            student = ask_always(program)
            answer = partial(delegate_measured, student)
            spent = measure_latency(answer, systems.train, _TIMED_LM, warm=False)
        yield (
            {
                "growth": "look-alikes left out" if size > _LARGE[0] else "ours alone",
                "agents": len(gathered),
                "system": _WITH_LM,
                "weight": weight,
            }
            | _shares(found, PLACES, base)
            | {
                "versus_without": asdict(metrics.compare(found == 1, without == 1)),
                "lm_calls_per_task": float(
                    np.mean([o.delegation.usage.lm_calls for o in outcomes])
                ),
                "tokens_per_task": tokens / len(outcomes),
            }
            | spent
        )


def _program_over(
    compiled: Delegator, agents: Sequence[Agent], encodings: Mapping[str, Encoded]
) -> Delegator:
    """Return a copy of a program that delegates to other agents."""
    program, embed = compiled.deepcopy(), compiled.retrieve.library.embed
    program.retrieve.library = IndexCache(Registry(agents), embed, encodings)
    return program


def table(rows: list[dict[str, Any]]) -> str:
    """Return accuracy by size at the sizes that matter, and the cost; all rows are in the CSV."""
    compared = ("BM25", "compiled", _REFITTED)
    accuracy = [
        row for row in rows if row["agents"] in (10, 70, 10_000) and row["system"] in compared
    ]
    cost = [row for row in rows if "p50_ms" in row and row["agents"] in (70, 10_000)]
    case = {
        "condition": lambda r: term(r["condition"]),
        "registry": lambda r: term(r["growth"]),
        "agents": lambda r: f"{r['agents']:,}",
        "system": lambda r: term(r["system"]),
        "n": lambda r: r["n"],
    }
    return "All rows: [scaling.csv](scaling.csv).\n\n" + sections(
        {
            "Accuracy": markdown(
                accuracy,
                {
                    **case,
                    "top-1 [95% CI]": lambda r: rate(r, "top1"),
                    "top-3": lambda r: percent(r["top3"]),
                    "difference to 70 agents, points": lambda r: difference(r["versus_70"]),
                },
            ),
            "Cost": markdown(
                cost,
                {
                    **case,
                    "median ms": lambda r: f"{r['p50_ms']:.1f}",
                    "tokens": lambda r: f"{r.get('tokens_per_task', 0):.0f}",
                    "vectors, MB": lambda r: f"{r['vectors_mb']:.0f}" if "vectors_mb" in r else "-",
                    "LM gain, points": lambda r: difference(r.get("versus_without")),
                },
            ),
        }
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
