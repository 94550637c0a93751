"""Retrieve many tasks at once: encoded together, compared with the agents by one product each.

The answers are those of one task after the other, but for the last digits of a float32 product.
Words, characters and late interaction read few of the agents and are scored task by task.
"""

from collections.abc import Collection, Iterator, Sequence

import numpy as np

from ..embedders import Encoded
from ..fork_gate import no_fork
from ..knobs import KnobValues
from .fusion import score_channels
from .index import Channels, Index, Query
from .passages import reading_of
from .reading import read_words
from .retrieve import Retrieval, Retrieve

WINDOW = 512  # tasks that are encoded together: their tokens take some 5 MB
_NUMBERS = 2**20  # of one channel that are held at once, 8 MB: fewer tasks where agents are many


def retrieve_many(
    retrieve: Retrieve,
    tasks: Sequence[str],
    knobs: KnobValues,
    permissions: Collection[str] | None = None,
) -> Iterator[Retrieval]:
    """Yield what ``retrieve`` finds for each task, in their order.

    Agents that are added or removed meanwhile count from the next window on.

    Args:
        retrieve: of a program.
        tasks: in plain words, each one that ``check_task`` accepts.
        knobs: as for ``retrieve``.
        permissions: the caller's; None for a caller without limits.
    """
    for start in range(0, len(tasks), WINDOW):
        window = tasks[start : start + WINDOW]
        index = retrieve.library.permitted(retrieve.learned.values, permissions)
        if index is None or len(index.hidden) == len(index.names):
            yield from (Retrieval(z_scores={}) for _ in window)
            continue
        queries = _read(retrieve, index, window)
        scored_by = index.reading(reading_of(knobs))
        for query, channels in _channels(scored_by, queries, knobs):
            with no_fork():
                scored = score_channels(scored_by, query, channels, index.hidden.tolist())
            found = Retrieval(z_scores={}, query=query, index=index, scored=scored)
            yield retrieve(task=query.task, knobs=knobs, found=found)


def _read(retrieve: Retrieve, index: Index, tasks: Sequence[str]) -> list[Query]:
    """Return the tasks as they are read; each text is encoded once, those of a length together."""
    words = [read_words(index, task) for task in tasks]
    texts = sorted({own.text for own in words}, key=lambda text: (len(text), text))
    encodings: dict[str, Encoded] = dict(zip(texts, index.embed.encode(texts), strict=True))
    return [
        own.with_encoding(encodings[own.text], retrieve.language_of(task))
        for own, task in zip(words, tasks, strict=True)
    ]


def _channels(
    index: Index, queries: Sequence[Query], knobs: KnobValues
) -> Iterator[tuple[Query, Channels]]:
    """Yield the raw scores of each task, those of its vector from products with many."""
    ranked = knobs.retrieval
    at_once = max(_NUMBERS // len(index.names), 1)
    for start in range(0, len(queries), at_once):
        some = queries[start : start + at_once]
        vectors = np.stack([query.encoded.vector for query in some], axis=1)
        with no_fork():
            best, mean = index.samples(vectors)
            dense = (index.description(vectors), best, mean, index.head(vectors, ranked.head_c))
        by_task = zip(*(np.ascontiguousarray(scores.T) for scores in dense), strict=True)
        for query, (description, sample_best, sample_mean, head) in zip(some, by_task, strict=True):
            yield (
                query,
                Channels(
                    bm25=index.bm25(query.text, ranked.bm25_k1, ranked.bm25_b),
                    chars=index.chars(query.text),
                    description=description,
                    sample_best=sample_best,
                    sample_mean=sample_mean,
                    head=head,
                    read=index.read_passages,
                ),
            )
