"""What every fine-tuning asks of its data and of its packages, before it begins."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from optimize.data import Dataset
from task_delegator.errors import InputError


def check_datasets(
    train: Sequence[Dataset], unseen: Sequence[Dataset], called: str, needs: str
) -> None:
    """Refuse data that cannot tell what is learned from what is known by heart.

    Args:
        train, unseen: datasets; those that are not trained on measure what was learned.
        called: what the unseen ones are called, in messages.
        needs: why they need validation requests, in messages.

    Raises:
        InputError: a dataset is both, two have one name, or an unseen one has no validation.
    """
    both = {d.path.resolve() for d in train} & {d.path.resolve() for d in unseen}
    if both:
        raise InputError(f"{min(both)}: a dataset is either trained on or {called}")
    names = [dataset.path.name for dataset in (*train, *unseen)]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"{name}: two datasets have this name; rename a folder")
    for dataset in unseen:
        if not dataset.splits["validation"]:
            raise InputError(f"{dataset.path}: no validation requests; {needs}")


@contextmanager
def installed(command: str, extras: str) -> Iterator[None]:
    """Import within this what fine-tuning needs.

    Raises:
        InputError: a package is missing.
    """
    try:
        yield
    except ImportError as error:
        raise InputError(
            f"{command}: {error.name} is not installed; run pip install 'task-delegator[{extras}]'"
        ) from error
