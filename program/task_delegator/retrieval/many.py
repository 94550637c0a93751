"""Score many tasks at once: encoded together, compared with the agents by one product each.

The answers are those of one task after the other, but for the last digits of a float32 product.
Late interaction reads few of the agents and is scored task by task.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass

import numpy as np

from ..choice import ANY, Choice
from ..fork_gate import no_fork
from ..knobs import KnobValues
from .fusion import score_channels
from .index import Channels, Index, Query
from .linear_head import one_thread
from .passages import reading_of
from .reading import Words, read_words
from .retrieve import Retrieval, Retrieve, left_out

WINDOW = 64  # tasks that are encoded together, while those before are scored
_NUMBERS = 2**20  # of one channel that are held at once, 8 MB: fewer tasks where agents are many


@dataclass(frozen=True, slots=True)
class Asked:
    """One task of many, with what its own caller may and wishes.

    Attributes:
        task: in plain words.
        permissions: the caller's; None for a caller without limits.
        choice: whom the caller excludes and includes.
    """

    task: str
    permissions: frozenset[str] | None = None
    choice: Choice = ANY


def score_many(
    retrieve: Retrieve, asked: Sequence[Asked], knobs: KnobValues
) -> Iterator[Retrieval]:
    """Yield the scores of each task, in their order, for ``retrieve`` to rank as ``found``.

    Agents that are added or removed meanwhile count from the next window on.

    Args:
        retrieve: of a program.
        asked: tasks, each one that ``check_task`` accepts.
        knobs: as for ``retrieve``.
    """
    windows = [asked[start : start + WINDOW] for start in range(0, len(asked), WINDOW)]
    if len(windows) < 2:
        for window in windows:
            yield from _window(_read(retrieve, window), knobs)
        return
    with ThreadPoolExecutor(1, thread_name_prefix="read-ahead") as pool:
        context = copy_context()
        reading = pool.submit(context.run, _read, retrieve, windows[0])
        for following in (*windows[1:], None):
            read = reading.result()
            if following is not None:  # the encoder works on while these are scored
                reading = pool.submit(context.run, _read, retrieve, following)
            yield from _window(read, knobs)


def _window(read: Sequence["_Read | None"], knobs: KnobValues) -> Iterator[Retrieval]:
    """Yield the scores of tasks that were read."""
    by_index: dict[int, list[_Read]] = {}
    for one in filter(None, read):
        by_index.setdefault(id(one.index), []).append(one)
    scored = {key: _scored(some, knobs) for key, some in by_index.items()}
    for one in read:
        yield Retrieval(z_scores={}) if one is None else next(scored[id(one.index)])


@dataclass(frozen=True, slots=True)
class _Read:
    """A task as it is read: against the agents of an index, without those that are left out."""

    query: Query
    index: Index
    choice: Choice
    out: list[int]


def _read(retrieve: Retrieve, asked: Sequence[Asked]) -> list[_Read | None]:
    """Return the tasks as they are read, None where no agent is left to name.

    Each text is encoded once, those of a length together.
    """
    library, learned = retrieve.library, retrieve.learned.values
    callers = {one.permissions for one in asked}
    indexes = {caller: library.permitted(learned, caller) for caller in callers}
    found: dict[int, tuple[Words, Index, list[int]]] = {}
    for place, one in enumerate(asked):
        index = indexes[one.permissions]
        out = [] if index is None else left_out(index, one.choice)
        if index is not None and len(out) < len(index.names):
            found[place] = read_words(index, one.task), index, out
    if not found:
        return [None] * len(asked)
    texts = sorted({words.text for words, _, _ in found.values()}, key=lambda t: (len(t), t))
    encodings = dict(zip(texts, library.embed.encode(texts), strict=True))

    def whole(place: int, one: Asked) -> _Read:
        words, index, out = found[place]
        query = words.with_encoding(encodings[words.text], retrieve.language_of(one.task))
        return _Read(query, index, one.choice, out)

    return [whole(i, one) if i in found else None for i, one in enumerate(asked)]


def _scored(read: Sequence[_Read], knobs: KnobValues) -> Iterator[Retrieval]:
    """Yield the scores of tasks that are read against one index."""
    index = read[0].index
    scored_by = index.reading(reading_of(knobs))
    channels = _channels(scored_by, [one.query for one in read], knobs)
    for one, found in zip(read, channels, strict=True):
        with no_fork():
            scored = score_channels(scored_by, one.query, found, one.out)
        yield Retrieval(z_scores={}, query=one.query, index=index, scored=scored, choice=one.choice)


def _channels(index: Index, queries: Sequence[Query], knobs: KnobValues) -> Iterator[Channels]:
    """Yield the raw scores of each task, those of its vector from products with many."""
    ranked = knobs.retrieval
    at_once = max(_NUMBERS // len(index.names), 1)
    for start in range(0, len(queries), at_once):
        some = queries[start : start + at_once]
        vectors = np.stack([query.encoded.vector for query in some], axis=1)
        with no_fork(), one_thread():
            best, mean = index.samples(vectors)
            dense = (index.description(vectors), best, mean, index.head(vectors, ranked.head_c))
        texts = [query.text for query in some]
        words = index.words_of_many(texts, ranked.bm25_k1, ranked.bm25_b)
        by_task = (*words, *(np.ascontiguousarray(scores.T) for scores in dense))
        for bm25, chars, description, sample_best, sample_mean, head in zip(*by_task, strict=True):
            yield Channels(
                bm25=bm25,
                chars=chars,
                description=description,
                sample_best=sample_best,
                sample_mean=sample_mean,
                head=head,
                read=index.read_passages,
            )
