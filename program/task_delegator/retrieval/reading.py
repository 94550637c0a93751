"""Read a task: without the names of agents, and without what it says is not wanted."""

from dataclasses import replace

from ..text import without_negated
from .index import Index, Query


def read_task(index: Index, task: str) -> Query:
    """Return a task as it is read against the agents of an index."""
    shown, mentions = index.mentions.strip_from(task)
    named = index.named.find_in(task)
    query = index.read(without_negated(shown))
    return replace(query, task=task, shown=shown, mentions=mentions, named=named)
