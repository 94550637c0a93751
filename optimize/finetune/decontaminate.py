"""Decontaminate training data: remove held-out registries' agents and texts, and test requests."""

from collections.abc import Collection, Sequence
from dataclasses import replace

from optimize.data import Dataset, known_texts
from task_delegator.registry import Registry, readable
from task_delegator.text import fold


def decontaminate(train: Sequence[Dataset], held_out: Sequence[Dataset]) -> list[Dataset]:
    """Return the training registries without agents and texts that are evaluated on.

    Agents are dropped if a held-out registry has an agent of the same name. Requests and samples
    are dropped if they occur in a held-out registry or in the test split of any registry.
    """
    tested = {fold(request.text) for other in train for request in other.splits["test"]}
    held_out_texts = tested.union(*map(known_texts, held_out))
    held_out_names = {fold(readable(agent.name)) for other in held_out for agent in other.registry}
    return [_remove(dataset, held_out_texts, held_out_names) for dataset in train]


def _remove(
    dataset: Dataset, held_out_texts: Collection[str], held_out_names: Collection[str]
) -> Dataset:
    """Return a registry without these texts, and without agents of these names, all folded."""
    agents = [
        agent.model_copy(
            update={
                "user_request_samples": tuple(
                    sample
                    for sample in agent.user_request_samples
                    if fold(sample) not in held_out_texts
                )
            }
        )
        for agent in dataset.registry
        if fold(readable(agent.name)) not in held_out_names
    ]
    registry = Registry(agents)
    splits = {
        name: tuple(
            replace(r, acceptable=tuple(a for a in r.acceptable if a in registry))
            for r in requests
            if fold(r.text) not in held_out_texts and r.expected in registry
        )
        for name, requests in dataset.splits.items()
    }
    return replace(dataset, registry=registry, splits=splits)
