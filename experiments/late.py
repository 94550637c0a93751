"""How many agents are worth comparing token by token, among how many?

Retrieval compares those that stand best by characters, description and samples; each costs time.
On validation, the weights of the fusion fitted on train for each number: our agents among
distractors without look-alikes, with samples withheld and with samples for all, and Seal-Tools,
half of whose validation requests are fitted on: it has none to train on.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from time import perf_counter
from typing import Any

import numpy as np

from experiments.crowd import Remembering, distractors, index_of, look_alikes, without_samples
from experiments.public import public
from optimize import metrics
from optimize.data import OURS, Request, load_dataset
from optimize.evaluate import select
from optimize.fusion import ScoredRequests, fit_weights
from task_delegator.embed import Encoded, MiniLM
from task_delegator.index import Index
from task_delegator.knobs import KnobValues
from task_delegator.retrieve import late_scores, standardise

_NUMBERS = (16, 24, 40, 64, 100)
_SIZES = (70, 500, 2000, 10_000)
_TRAIN, _VALIDATION, _TIMED = 500, 500, 40  # requests at most: ours are fewer


@dataclass(frozen=True, slots=True)
class Case:
    """One registry with the requests to fit on and those to choose on."""

    data: str
    index: Index
    train: Sequence[Request]
    validation: Sequence[Request]


def run(quick: bool) -> list[dict[str, Any]]:
    """Return one row per registry and number; quick: our 70 agents, 20 requests each."""
    return [row for case in _cases(quick) for row in _rows(case, 20 if quick else _VALIDATION)]


def _cases(quick: bool) -> Iterator[Case]:
    ours = load_dataset(OURS, enriched=False)
    embed, known = Remembering(MiniLM()), dict[str, Encoded]()
    crowd = [] if quick else distractors(ours.registry, seed=0)
    if not quick:
        seal = public("seal_tools")
        index = index_of(list(seal.registry), embed, known)
        requests = seal.splits["validation"]
        yield Case("seal_tools", index, requests[::2], requests[1::2])
    for withheld in (True, False):
        agents, others = list(ours.registry), crowd
        if withheld:
            agents = without_samples(agents)
            others = without_samples([a for a in crowd if a.description])
        if others:
            alike = look_alikes(agents, others, embed, known)
            others = [a for a in others if a.name not in alike]
        for size in _SIZES if others else _SIZES[:1]:
            index = index_of([*agents, *others[: size - len(agents)]], embed, known)
            data = f"ours, {'samples withheld' if withheld else 'samples for all'}"
            yield Case(data, index, ours.splits["train"], ours.splits["validation"])


def _rows(case: Case, most: int) -> Iterator[dict[str, Any]]:
    train = select(case.train, min(most, _TRAIN), seed=0)
    validation = select(case.validation, most, seed=0)
    least = np.array([])
    for number in _NUMBERS:
        knobs = fit_weights(ScoredRequests(case.index, train, number), KnobValues())
        scored = ScoredRequests(case.index, validation, number)
        ranks = scored.ranks(scored.fused(knobs))
        least = least if len(least) else ranks
        yield {
            "data": case.data,
            "split": "validation",
            "agents": len(case.index.names),
            "compared": number,
            "n": len(ranks),
            "top1": float(np.mean(ranks == 1)),
            "top1_ci95": metrics.wilson(int(np.sum(ranks == 1)), len(ranks)),
            "top3": float(np.mean(ranks <= 3)),
            "versus_least": asdict(metrics.compare(ranks == 1, least == 1)),
            "late_ms": _milliseconds(case.index, validation[:_TIMED], number, knobs),
        }


def _milliseconds(
    index: Index, requests: Sequence[Request], number: int, knobs: KnobValues
) -> float:
    """Return the median time of comparing so many agents with a request."""
    spent = []
    for request in requests:
        query = index.read(request.text)
        channels = index.channels(query, knobs.bm25_k1, knobs.bm25_b, knobs.head_c)
        standing = standardise(channels)
        started = perf_counter()
        late_scores(index, query, standing, number)
        spent.append(1000 * (perf_counter() - started))
    return float(np.median(spent))
