"""Measure seconds per task, of a system and of BM25 and embeddings alone."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from time import perf_counter
from typing import Any

import dspy
import numpy as np

from optimize.data import Request
from optimize.evaluation import select
from task_delegator.delegator import Delegator
from task_delegator.embedders import Encoded, forgetting
from task_delegator.knobs import KnobValues
from task_delegator.retrieval import CHANNELS, Channels, Index, fuse, largest, standardize


def measure_latency(
    answer: Callable[[str], Any], requests: Sequence[Request], number: int, warm: bool = True
) -> dict[str, float]:
    """Return median and 95 % quantile of the time that answers take.

    Args:
        answer: takes a task.
        requests: to draw from.
        number: of them that are answered.
        warm: answer each once before it is timed.
    """
    durations_ms = []
    for request in select(requests, number, seed=1):
        if warm:
            answer(request.text)
        started = perf_counter()
        answer(request.text)
        durations_ms.append(1000 * (perf_counter() - started))
    return {
        "p50_ms": float(np.median(durations_ms)),
        "p95_ms": float(np.quantile(durations_ms, 0.95)),
    }


def single_system(index: Index, knobs: KnobValues) -> Callable[[str], np.ndarray]:
    """Return what ranks a task's best agents by BM25 or by the three cosines, and nothing else."""
    by = _bm25 if knobs.retrieval.bm25 else _cosines
    return partial(by, index, knobs)


def _bm25(index: Index, knobs: KnobValues, task: str) -> np.ndarray:
    return largest(
        index.bm25(task, knobs.retrieval.bm25_k1, knobs.retrieval.bm25_b), knobs.retrieval.k
    )


def _cosines(index: Index, knobs: KnobValues, task: str) -> np.ndarray:
    vector = index.read(task).encoded.vector
    best, mean = index.samples(vector)
    none = np.zeros(len(index.names))
    z_scores = standardize(Channels(none, none, index.description(vector), best, mean, none))
    return largest(fuse(dict.fromkeys(CHANNELS, none) | z_scores, knobs), knobs.retrieval.k)


def latencies(
    program: Delegator, knobs: Mapping[str, KnobValues], requests: Sequence[Request], number: int
) -> dict[str, dict[str, float]]:
    """Return each system's latency without LM, and the memory of the vectors that it reads.

    Args:
        program: what is ``compiled``; its index serves the others.
        knobs: of ``BM25`` and ``embeddings``.
        requests, number: to time so many of.
    """
    index = program.retrieve.library.index({})
    texts = index.encodings.values()
    answers: dict[str, Callable[[str], Any]] = {
        "BM25": single_system(index, knobs["BM25"]),
        "embeddings": single_system(index, knobs["embeddings"]),
        "compiled": program,
    }
    held = {
        "BM25": 0,
        "embeddings": sum(text.vector.nbytes for text in texts),
        "compiled": sum(map(_bytes, texts)),
    }
    with dspy.context(lm=None), forgetting(program.retrieve.library.embed):
        return {
            name: measure_latency(answer, requests, number) | {"vectors_mb": held[name] / 2**20}
            for name, answer in answers.items()
        }


def _bytes(text: Encoded) -> int:
    return text.vector.nbytes + text.token_vectors.nbytes + text.token_ids.nbytes
