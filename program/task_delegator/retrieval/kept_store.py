"""The store of a large registry, from one process to the next: what is kept, and read again."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from threading import Thread

import bm25s
import numpy as np
import Stemmer

from ..embedders import maker_of
from .kept import KeptArrays
from .lexical import Terms
from .postings import Corpus, Postings
from .rows import Rows, offsets
from .store import Content, Entry, HeldText, Snapshot, Store
from .token_products import Tokens

_LEAST = 1000  # agents; fewer are read from the cache of vectors in half a second
_CORPORA = ("words", "grams", "tokens")


def entries_of(store: Store, contents: Sequence[Content]) -> tuple[tuple[Entry, ...], Snapshot]:
    """Return a store's entries of contents; the first of a large registry are kept, or read.

    Args:
        store: to which they are added.
        contents: of agents.
    """
    kept = None if len(store) else _file_of(store, contents)
    if kept is None:
        return store.entries(contents)
    restored = _restored(store, kept, list(dict.fromkeys(contents)))  # held until they are found
    entries, snapshot = store.entries(contents)
    if not restored:
        Thread(target=keep, args=(store, entries, snapshot), name="keep-index").start()
    return entries, snapshot


def keep(store: Store, entries: Sequence[Entry], snapshot: Snapshot) -> None:
    """Keep what a store holds of a registry, unless that is there or the registry is small.

    Args:
        store, snapshot: that hold the entries.
        entries: of all agents, in name order.
    """
    own = list({id(entry): entry for entry in entries}.values())
    kept = _file_of(store, [entry.content for entry in own])
    if kept is not None and not kept.is_there():
        kept.write(_arrays(snapshot, own), _spelling(store, own))


def is_kept(store: Store, agents: int) -> bool:
    """Tell whether a registry of so many agents is kept: not where few or no vectors are."""
    return agents >= _LEAST and maker_of(store.embed) is not None


def _file_of(store: Store, contents: Sequence[Content]) -> KeptArrays | None:
    """Return the file of contents, None where they are not kept."""
    maker = maker_of(store.embed)
    if maker is None or not is_kept(store, len(contents)):
        return None
    cut_by = f"{maker} bm25s {bm25s.__version__} stemmer {Stemmer.version()}"
    return KeptArrays.of(cut_by, _said(list(dict.fromkeys(contents))))


def _said(contents: Sequence[Content]) -> Iterator[str]:
    for content in contents:
        yield from (content.description, content.document, *content.samples)
        yield str(len(content.samples))


def _arrays(snapshot: Snapshot, entries: Sequence[Entry]) -> dict[str, Sequence[np.ndarray]]:
    """Return what spells nothing, by name."""
    numbers = np.array([entry.number for entry in entries], dtype=np.int64)
    samples = np.concatenate(
        [np.arange(e.first_sample, e.first_sample + e.samples, dtype=np.int64) for e in entries]
    )
    texts = [one for entry in entries for one in entry.held]
    arrays: dict[str, Sequence[np.ndarray]] = {
        "descriptions": [snapshot.descriptions.taken(numbers).T],
        "samples": [snapshot.samples.taken(samples).T],
        "token_counts": [np.array([len(one.tokens) for one in texts], dtype=np.int32)],
        "token_vectors": [
            np.zeros((0, texts[0].tokens.shape[1]), dtype=np.uint8),
            *(piece for entry in entries for piece in entry.tokens.vectors),
        ],
    }
    for name in _CORPORA:
        corpus: Corpus = getattr(snapshot, name).only(numbers)
        part = corpus.large
        own = (part.terms, part.starts, part.owners, part.counts, corpus.lengths)
        arrays |= {f"{name} {place}": [array] for place, array in enumerate(own)}
    return arrays


def _spelling(store: Store, entries: Sequence[Entry]) -> dict[str, np.ndarray]:
    """Return what spells texts, by name: tokens in order, and what all numbers stand for."""
    numbers = [entry.tokens.numbers for entry in entries]
    ids = np.array(list(store.token_numbers), dtype=np.int32)
    terms = {"words": store.words, "grams": store.grams.terms}
    joined = {name: "\n".join(map(str, held)) for name, held in terms.items()}
    return {
        "token_numbers": np.concatenate(numbers),
        "token_ids": ids,
        **{
            f"{name} terms": np.frombuffer(text.encode("utf-8", "surrogatepass"), np.uint8)
            for name, text in joined.items()
        },
    }


def _restored(store: Store, kept: KeptArrays, contents: Sequence[Content]) -> list[Entry]:
    """Return the entries of contents that were kept, in the store; none where they were not."""
    arrays = kept.read()
    if arrays is None:
        return []
    ids, numbers = kept.opened(arrays, "token_ids"), kept.opened(arrays, "token_numbers")
    store.token_numbers = Terms(ids.tolist())
    joined = (bytes(kept.opened(arrays, f"{name} terms")) for name in ("words", "grams"))
    store.words, store.grams.terms = (
        Terms(text.decode("utf-8", "surrogatepass").split("\n")) for text in joined
    )
    corpora = (_corpus(arrays, name, len(contents)) for name in _CORPORA)
    snapshot = Snapshot(Rows.of(arrays["descriptions"]), Rows.of(arrays["samples"]), *corpora)
    entries = _entries(snapshot, contents, arrays, numbers, ids)
    store.restore(entries, snapshot)
    return entries


def _corpus(arrays: Mapping[str, np.ndarray], name: str, documents: int) -> Corpus:
    *postings, lengths = (arrays[f"{name} {place}"] for place in range(5))
    return Corpus(Postings(documents, *postings), Corpus.empty().small, lengths)


def _entries(
    snapshot: Snapshot,
    contents: Sequence[Content],
    arrays: Mapping[str, np.ndarray],
    numbers: np.ndarray,
    ids: np.ndarray,
) -> list[Entry]:
    """Return entries whose vectors and tokens are those of the arrays."""
    counts, vectors, spelled = arrays["token_counts"], arrays["token_vectors"], ids[numbers]
    starts = [*offsets(counts).tolist(), len(vectors)]
    entries, text, sample = [], 0, 0
    for number, content in enumerate(contents):
        after = text + 1 + len(content.samples)
        vector = [snapshot.descriptions.row(number)]
        vector += [snapshot.samples.row(sample + n) for n in range(len(content.samples))]
        held = tuple(
            HeldText(own, spelled[start:end], vectors[start:end])
            for own, start, end in zip(
                vector, starts[text:after], starts[text + 1 : after + 1], strict=True
            )
        )
        own = (*accumulate(counts[text:after].tolist(), initial=0),)
        whole = numbers[starts[text] : starts[after]]
        tokens = Tokens(tuple(one.tokens for one in held), whole, own)
        entries.append(Entry(number, sample, content, held, tokens))
        text, sample = after, sample + len(content.samples)
    return entries
