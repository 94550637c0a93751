"""What has to stay unseen when an LM is trained: other registries, and every test split."""

from collections.abc import Collection, Sequence
from dataclasses import replace

from optimize.data import Dataset, known_texts
from task_delegator.registry import Registry, readable
from task_delegator.text import fold


def apart(train: Sequence[Dataset], kept_out: Sequence[Dataset]) -> list[Dataset]:
    """Return the registries to train on without what has to stay unseen.

    Left out are agents that a registry kept out has by name, and requests and samples that it
    has in any split, or that a registry trained on has in its test split.
    """
    tested = {fold(request.text) for other in train for request in other.splits["test"]}
    unseen = tested.union(*map(known_texts, kept_out))
    twins = {fold(readable(agent.name)) for other in kept_out for agent in other.registry}
    return [_without(dataset, unseen, twins) for dataset in train]


def _without(dataset: Dataset, unseen: Collection[str], twins: Collection[str]) -> Dataset:
    """Return a registry without these texts, and without agents of these names, all folded."""
    agents = [
        agent.model_copy(
            update={
                "user_request_samples": tuple(
                    sample for sample in agent.user_request_samples if fold(sample) not in unseen
                )
            }
        )
        for agent in dataset.registry
        if fold(readable(agent.name)) not in twins
    ]
    registry = Registry(agents)
    splits = {
        name: tuple(
            replace(r, acceptable=tuple(a for a in r.acceptable if a in registry))
            for r in requests
            if fold(r.text) not in unseen and r.expected in registry
        )
        for name, requests in dataset.splits.items()
    }
    return replace(dataset, registry=registry, splits=splits)
