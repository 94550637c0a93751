"""Splits as MLflow's evaluation datasets: one for each content, without texts by default."""

import json
from collections.abc import Sequence

from mlflow.genai import datasets
from mlflow.genai.datasets import EvaluationDataset

from optimize.data import SPLITS, Dataset
from optimize.tracking.rows import IN_SCOPE, OUT_OF_SCOPE, SEVERAL, Row, names_of, rows_of
from optimize.tracking.scores import expected
from task_delegator.system import sha256_text

MOST_RECORDS = 5_000  # more take minutes to write, and nobody pages through them


def log_split(
    dataset: Dataset, split: str, experiment: str, *, several: bool = False, texts: bool = False
) -> EvaluationDataset | None:
    """Return a split as an evaluation dataset of an experiment, made where it is missing.

    Its name holds a digest of its content: a split that changes becomes another dataset.

    Args:
        dataset: that the split is of.
        split: ``train``, ``validation`` or ``test``.
        experiment: id.
        several: the tasks for several agents of the split instead of its other requests.
        texts: keep the texts of the requests.

    Returns:
        None where there are no such requests, or more than MLflow's page is good for.
    """
    rows = [row for row in rows_of(dataset, split) if (row.kind == SEVERAL) == several]
    if not 0 < len(rows) <= MOST_RECORDS:
        return None
    names = names_of(dataset, texts)
    records = [
        {"inputs": row.inputs(texts), "expectations": expected(row.acceptable, names)}
        for row in rows
    ]
    digest = sha256_text(json.dumps(records, sort_keys=True))[:12]
    name = f"{dataset.path.resolve().name}/{split}{'/multi' if several else ''}@{digest}"
    found = datasets.search_datasets([experiment], filter_string=f'name = "{name}"')
    if found:
        return found[0]
    made = datasets.create_dataset(name, experiment, _tags(dataset, split, digest, rows, texts))
    made.merge_records(records)
    return datasets.get_dataset(
        dataset_id=made.dataset_id
    )  # records change the digest it was given


def _tags(
    dataset: Dataset, split: str, digest: str, rows: Sequence[Row], texts: bool
) -> dict[str, str]:
    counts = {
        kind.replace(" ", "_"): str(sum(row.kind == kind for row in rows))
        for kind in (IN_SCOPE, OUT_OF_SCOPE, SEVERAL)
    }
    known = {
        "split": split,
        "digest": digest,
        "source": str(dataset.path),
        "file_sha256": dataset.sha256(SPLITS[split])[:12],
        "texts": "kept" if texts else "left out",
    }
    return known | counts
