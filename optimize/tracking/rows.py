"""Requests as MLflow sees them: an id and a digest in place of the text, unless it is wanted."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from optimize.data import Dataset
from optimize.evaluation import Outcome
from task_delegator.registry import Registry
from task_delegator.system import sha256_text
from task_delegator.tracing import shown_names

IN_SCOPE, OUT_OF_SCOPE, SEVERAL = "in scope", "out of scope", "several agents"


@dataclass(frozen=True, slots=True)
class Row:
    """One request of a split.

    Attributes:
        id: of the request: split, kind and place; the same for every program.
        kind: in scope, out of scope, or for several agents.
        acceptable: names of agents; none out of scope, all that are needed for several.
    """

    id: str
    split: str
    kind: str
    text: str
    acceptable: tuple[str, ...]

    def inputs(self, texts: bool) -> dict[str, str]:
        """Return what MLflow shows of the request; a digest tells who has the text which it is."""
        shown = {"request": self.id, "digest": sha256_text(self.text)[:16]}
        return shown | ({"task": self.text} if texts else {})


def rows_of(dataset: Dataset, split: str) -> Iterator[Row]:
    """Yield the requests of a split in their order: in scope, out of scope, for several agents."""
    parts = (
        (IN_SCOPE, split, [(r.text, r.acceptable) for r in dataset.splits[split]]),
        (OUT_OF_SCOPE, f"{split}/out", [(text, ()) for text in dataset.out_of_scope[split]]),
        (SEVERAL, f"{split}/multi", [(r.text, r.acceptable) for r in dataset.multi[split]]),
    )
    for kind, prefix, requests in parts:
        for place, (text, acceptable) in enumerate(requests):
            yield Row(f"{prefix}/{place}", split, kind, text, acceptable)


def names_of(dataset: Dataset, texts: bool) -> Mapping[str, str]:
    """Return how agents are shown, by name: all as they are where texts are wanted."""
    if texts:
        return {agent.name: agent.name for agent in dataset.registry}
    return shown_names(dataset.registry)


def without_hidden(outcomes: Iterable[Outcome], registry: Registry) -> list[Outcome]:
    """Return outcomes in which agents that need a permission are named by their digests."""
    names = shown_names(registry)

    def shown(some: Iterable[str]) -> tuple[str, ...]:
        return tuple(names.get(name, name) for name in some)

    return [
        Outcome(
            replace(outcome.request, acceptable=shown(outcome.request.acceptable)),
            outcome.delegation.copy(
                evidence=replace(outcome.delegation.evidence, ranking=shown(outcome.ranking))
            ),
        )
        for outcome in outcomes
    ]
