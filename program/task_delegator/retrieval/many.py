"""Score many tasks at once: encoded together, compared with the agents by one product each.

Token by token they are compared one after the other. The answers are those of one task after the
other, but for the last digits of a float32 product. Parts of a task that are looked at beside it
are scored with it.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from functools import partial
from itertools import compress, islice
from threading import Event

import numpy as np

from ..choice import ANY, Choice
from ..embedders import Embedder, Encoded, encode_parts, pools_tokens
from ..errors import EmbedderError
from ..knobs import KnobValues
from ..system import no_fork
from .fusion import Scored, score_channels_of_many
from .index import Index, Query
from .linear_head import one_thread
from .passages import reading_of
from .reading import Words, read_words
from .retrieve import Retrieval, Retrieve, glance, left_out

# Tasks that are encoded together while those before are scored: few at first, so that the first
# answers come soon, then as many as have neighbors with the same number of tokens.
_FIRST_WINDOW, _WINDOW = 128, 1024
_AHEAD = 2  # windows that are read meanwhile: of one the words, while the other is encoded
_CHARACTERS = 2**18  # of a window's tasks, some 30 MB of encodings
_FAILED = 4  # tasks that the embedder refuses one after the other: it refuses all
_ENCODED = 256  # texts that are encoded before it is asked whether somebody still waits
_TOGETHER = 128  # tasks and parts that are scored at once
_NUMBERS = 2**21  # of a channel or of samples that are held at once, 16 MB: else fewer tasks
PartsOf = Callable[[str], Sequence[str]]


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
    retrieve: Retrieve,
    asked: Sequence[Asked],
    knobs: KnobValues,
    parts_of: PartsOf = lambda _: (),
) -> Generator[Retrieval | EmbedderError, None, None]:
    """Yield the scores of each task, in their order, for ``retrieve`` to rank as ``found``.

    Where the embedder refuses a task, the error stands in its place. Agents that are added or
    removed meanwhile count from the next window on that was not begun to be read: two are read
    ahead.

    Args:
        retrieve: of a program.
        asked: tasks, each one that ``check_task`` accepts.
        knobs: as for ``retrieve``.
        parts_of: a task's parts that are to be glanced at, as ``ReadAhead`` takes them.

    Raises:
        EmbedderError: it refuses every task.
    """
    windows = [asked[window] for window in _windows([len(one.task) for one in asked])]
    unwanted = Event()
    read = partial(_read, retrieve, parts_of=parts_of, unwanted=unwanted)
    if len(windows) < 2:
        for window in windows:
            yield from _window(read(window), knobs)
        return
    with ThreadPoolExecutor(_AHEAD, thread_name_prefix="read-ahead") as pool:
        context = copy_context()
        reading: deque[Future[list[_Read | EmbedderError | None]]] = deque()
        try:
            for number in range(len(windows)):
                for window in windows[number + len(reading) : number + 1 + _AHEAD]:
                    # The encoder works on while these are scored.
                    reading.append(pool.submit(context.copy().run, read, window))
                yield from _window(reading.popleft().result(), knobs)
        finally:
            unwanted.set()  # nobody waits for the others


def _windows(lengths: Sequence[int]) -> Iterator[slice]:
    """Yield stretches of tasks, each larger than the last, up to a limit.

    Args:
        lengths: characters of each task.
    """
    start, most = 0, _FIRST_WINDOW
    while start < len(lengths):
        end, characters = start, 0
        while end < min(start + most, len(lengths)) and characters < _CHARACTERS:
            characters += lengths[end]
            end += 1
        yield slice(start, end)
        start, most = end, min(2 * most, _WINDOW)


def _window(
    read: Sequence["_Read | EmbedderError | None"], knobs: KnobValues
) -> Iterator[Retrieval | EmbedderError]:
    """Yield the scores of tasks that were read, or why one was not."""
    by_index: dict[int, list[_Read]] = {}
    for one in read:
        if isinstance(one, _Read):
            by_index.setdefault(id(one.index), []).append(one)
    scored = {key: _scored(some, knobs) for key, some in by_index.items()}
    for one in read:
        if isinstance(one, _Read):
            yield next(scored[id(one.index)])
        else:
            yield Retrieval(z_scores={}) if one is None else one


@dataclass(frozen=True, slots=True)
class _Read:
    """A task as it is read: against the agents of an index, without those that are left out."""

    query: Query
    index: Index
    choice: Choice
    out: list[int]
    parts: tuple[Query, ...]


@dataclass(frozen=True, slots=True)
class _Worded:
    """A task before it is encoded, with its parts."""

    words: Words
    index: Index
    out: list[int]
    parts: tuple[Words, ...]


def _read(
    retrieve: Retrieve, asked: Sequence[Asked], *, parts_of: PartsOf, unwanted: Event
) -> list[_Read | EmbedderError | None]:
    """Return the tasks as they are read together, or one by one where that fails.

    Raises:
        CancelledError: they are unwanted.
        EmbedderError: the first few fail by themselves as well: it is not for what they say.
    """
    read = partial(_read_together, retrieve, parts_of=parts_of, unwanted=unwanted)
    try:
        return [*read(asked)]
    except EmbedderError:
        found: list[_Read | EmbedderError | None] = []
    for one in asked:
        try:
            found += read([one])
        except EmbedderError as error:
            found.append(error)
            if len(found) == _FAILED and all(isinstance(own, EmbedderError) for own in found):
                raise
    return found


def _read_together(
    retrieve: Retrieve, asked: Sequence[Asked], *, parts_of: PartsOf, unwanted: Event
) -> list[_Read | None]:
    """Return the tasks as they are read, None where no agent is left to name.

    Each text is encoded once, those of a length together.

    Raises:
        CancelledError: they are unwanted.
        EmbedderError: it refuses one of them, or all.
    """
    library, learned = retrieve.library, retrieve.learned.values
    callers = {one.permissions for one in asked}
    indexes = {caller: library.permitted(learned, caller) for caller in callers}
    found: dict[int, _Worded] = {}
    for place, one in enumerate(asked):
        index = indexes[one.permissions]
        out = [] if index is None else left_out(index, one.choice)
        if index is not None and len(out) < len(index.names):
            parts = tuple(read_words(index, part) for part in parts_of(one.task))
            found[place] = _Worded(read_words(index, one.task), index, out, parts)
    if not found:
        return [None] * len(asked)
    encoded = _encoded(library.embed, list(found.values()), unwanted)
    encodings = dict(zip(found, encoded, strict=True))

    def whole(place: int, one: Asked) -> _Read:
        worded, (own, *others) = found[place], encodings[place]
        query = worded.words.with_encoding(own, retrieve.language_of(one.task))
        parts = zip(worded.parts, others, strict=True)
        read = tuple(words.with_encoding(encoding) for words, encoding in parts)
        return _Read(query, worded.index, one.choice, worded.out, read)

    return [whole(i, one) if i in found else None for i, one in enumerate(asked)]


def _encoded(embed: Embedder, tasks: Sequence[_Worded], unwanted: Event) -> list[list[Encoded]]:
    """Return the encodings of tasks, each with those of its parts, as ``ReadAhead`` has them."""
    said = [[words.text for words in (task.words, *task.parts)] for task in tasks]
    if not pools_tokens(embed):
        known = _by_text(embed, unwanted, [text for texts in said for text in texts])
        return [[known[text] for text in texts] for texts in said]
    known = _by_text(embed, unwanted, [texts[0] for texts in said])
    pooled = [encode_parts(embed, known[own], parts) for own, *parts in said]
    apart = [found is None for found in pooled]
    others = _by_text(
        embed, unwanted, [text for texts in compress(said, apart) for text in texts[1:]]
    )
    read = []
    for texts, found in zip(said, pooled, strict=True):
        parts = others if found is None else dict(zip(texts[1:], found, strict=True))
        own = parts | {texts[0]: known[texts[0]]}
        read.append([own[text] for text in texts])
    return read


def _by_text(embed: Embedder, unwanted: Event, texts: Sequence[str]) -> dict[str, Encoded]:
    """Return encodings by text, each made once, short ones first.

    Raises:
        CancelledError: they are unwanted.
    """
    each = sorted(set(texts), key=lambda text: (len(text), text))
    encodings: dict[str, Encoded] = {}
    for start in range(0, len(each), _ENCODED):
        if unwanted.is_set():
            raise CancelledError
        some = each[start : start + _ENCODED]
        encodings |= zip(some, embed.encode(some), strict=True)
    return encodings


def _scored(read: Sequence[_Read], knobs: KnobValues) -> Iterator[Retrieval]:
    """Yield the scores of tasks that are read against one index."""
    index = read[0].index
    scored_by = index.reading(reading_of(knobs))
    at_once = max(min(_NUMBERS // max(len(index.names), scored_by.samples_held), _TOGETHER), 1)
    for some in _chunks(read, at_once):
        every = [(query, one.out) for one in some for query in (one.query, *one.parts)]
        with no_fork(), one_thread():
            scores = _scores(scored_by, every, knobs)
        for one in some:
            with no_fork():
                own, *others = islice(scores, 1 + len(one.parts))
            found = Retrieval(
                z_scores={}, query=one.query, index=index, choice=one.choice, scored=own
            )
            parts = zip(one.parts, others, strict=True)
            glances = [(part.task, glance(part, knobs, found, scored)) for part, scored in parts]
            yield found.copy(glances=tuple(glances)) if glances else found


def _chunks(read: Sequence[_Read], most: int) -> Iterator[list[_Read]]:
    """Yield tasks that have so many texts together, one task at least."""
    chunk: list[_Read] = []
    texts = 0
    for one in read:
        if chunk and texts + 1 + len(one.parts) > most:
            yield chunk
            chunk, texts = [], 0
        chunk.append(one)
        texts += 1 + len(one.parts)
    yield chunk


def _scores(
    index: Index, texts: Sequence[tuple[Query, list[int]]], knobs: KnobValues
) -> Iterator[Scored]:
    """Yield the scores of texts, those of their vectors from products with many."""
    ranked, queries = knobs.retrieval, [query for query, _ in texts]
    vectors = np.stack([query.encoded.vector for query in queries], axis=1)
    said = [query.text for query in queries]
    raw = [
        *index.words_of_many(said, ranked.bm25_k1, ranked.bm25_b),
        np.ascontiguousarray(index.description(vectors).T),
    ]
    samples, *learned = index.samples(vectors)
    if index.has_samples.any():
        learned.append(index.head(vectors, ranked.head_c))
        raw += [np.ascontiguousarray(scores.T) for scores in learned]
    else:
        raw += [np.broadcast_to(np.nan, raw[0].shape)] * 3
    own = np.ascontiguousarray(samples.T)
    return score_channels_of_many(index, queries, raw, own, [out for _, out in texts])
