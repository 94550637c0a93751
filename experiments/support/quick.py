"""Shrink a dataset for quick runs, which are not saved."""

from dataclasses import replace

from optimize.data import Dataset
from optimize.evaluation import select

_REQUESTS, _OUT_OF_SCOPE = 40, 15  # of each split: calibration wants 30 requests and some outside


def shrink(dataset: Dataset, requests: int = _REQUESTS) -> Dataset:
    """Return a data set with at most so many requests in each split, without plans."""
    return replace(
        dataset,
        splits={
            name: tuple(select(all_, requests, seed=0)) for name, all_ in dataset.splits.items()
        },
        out_of_scope={name: texts[:_OUT_OF_SCOPE] for name, texts in dataset.out_of_scope.items()},
    ).without_plans()
