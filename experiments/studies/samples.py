"""How much does accuracy gain from more samples, and how much from another encoder?

Without an LM. Each agent has its first 1, 2, 5, 10, 20 or 50 sample requests: those of the
registry, then its train requests; where an agent has fewer, all of them. Ours, as written, have
eight. For each encoder and number the knobs of retrieval are chosen in the same way on at most 400
validation requests; at most 1,000 test requests, drawn once, are ranked. *mpnet* has five times
the parameters of *minilm*, and is the teacher of *minilm-tuned*.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from experiments.support.format import difference, markdown, points, rate
from experiments.support.quick import shrink
from experiments.support.ranks import kept_ranks, rates_within, retrieval_ranks
from experiments.support.sets import load_set
from optimize.data import Dataset, Request
from optimize.evaluation import select
from optimize.evaluation.metrics import compare
from task_delegator.embedders import DEFAULT
from task_delegator.registry import Registry

_SETS = ("ours", "banking77", "clinc150", "hwu64")
_ENCODERS = ("minilm", DEFAULT, "mpnet")
_COUNTS = (1, 2, 5, 10, 20, 50)
_FEW, _MORE = 10, 20  # samples, of the answer
_ASKED = 1000  # requests of test at most
_PLACES = {"top1": 1, "top3": 3}


def run(quick: bool) -> list[dict[str, Any]]:
    """Return a row per set, number of samples and encoder; quick: ours, 40 validation requests."""
    rows = []
    for name in _SETS[:1] if quick else _SETS:
        dataset = load_set(name)
        dataset = shrink(dataset) if quick else dataset
        asked = select(dataset.splits["validation" if quick else "test"], _ASKED, seed=0)
        counts = [n for n in _COUNTS if n <= _most(dataset)][-1 if quick else 0 :]
        rows += [{"data": name} | row for row in _grown(dataset, counts, asked, quick)]
    return rows


def _grown(
    dataset: Dataset, counts: Sequence[int], asked: Sequence[Request], quick: bool
) -> Iterator[dict[str, Any]]:
    """Yield a row per number of samples and encoder, beside its like.

    Those are the same encoder with the number before, and the default one with the same number.
    """
    measure = retrieval_ranks if quick else kept_ranks
    before: dict[str, np.ndarray] = {}
    for count in counts:
        fewer = replace(dataset, registry=with_samples(dataset, count))
        encoders = (DEFAULT,) if quick else _ENCODERS
        ranks = {spec: measure(fewer, spec, asked) for spec in encoders}
        for spec, own in ranks.items():
            row = {"samples": count, "encoder": spec, "n": len(own)} | rates_within(own, _PLACES)
            if spec in before:
                row["versus_fewer"] = asdict(compare(own == 1, before[spec] == 1))
            if spec != DEFAULT:
                row["versus_default"] = asdict(compare(own == 1, ranks[DEFAULT] == 1))
            yield row
        before = ranks


def with_samples(dataset: Dataset, count: int) -> Registry:
    """Return the agents with so many samples each, or all that there are: own, then train's."""
    train: dict[str, list[str]] = {}
    for request in dataset.splits["train"]:
        train.setdefault(request.acceptable[0], []).append(request.text)
    return Registry(
        agent.model_copy(
            update={
                "user_request_samples": tuple(
                    dict.fromkeys((*agent.user_request_samples, *train.get(agent.name, ())))
                )[:count]
            }
        )
        for agent in dataset.registry
    )


def _most(dataset: Dataset) -> int:
    """Return how many samples the agents have at most."""
    return max(len(a.user_request_samples) for a in with_samples(dataset, max(_COUNTS)))


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Return accuracy by set, number of samples and encoder, and the gains of both."""
    return markdown(
        rows,
        {
            "data": lambda r: r["data"],
            "samples": lambda r: r["samples"],
            "encoder": lambda r: r["encoder"],
            "n": lambda r: r["n"],
            "top-1 [95% CI]": lambda r: rate(r, "top1"),
            "top-3 [95% CI]": lambda r: rate(r, "top3"),
            "less that with the samples before": lambda r: difference(r.get("versus_fewer")),
            f"less {DEFAULT}'s": lambda r: difference(r.get("versus_default")),
        },
    )


def answer(rows: Sequence[dict[str, Any]]) -> str:
    """Return the mean gains from twice the samples, and from a larger encoder."""
    samples = _mean(rows, _MORE, DEFAULT, "versus_fewer")
    encoder = _mean(rows, _FEW, _ENCODERS[-1], "versus_default")
    return (
        f"{_MORE} samples for {_FEW}: {points(samples)} points; {_ENCODERS[-1]}: {points(encoder)}"
    )


def _mean(rows: Sequence[dict[str, Any]], samples: int, encoder: str, versus: str) -> float:
    """Return the mean difference over the sets that have so many samples."""
    wanted = (samples, encoder)
    chosen = [row for row in rows if (row["samples"], row["encoder"]) == wanted]
    return float(np.mean([row[versus]["difference"] for row in chosen]))
