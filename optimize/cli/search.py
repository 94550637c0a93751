"""``search``: search the retrieval knobs only."""

import argparse
from pathlib import Path

from optimize.cli.common import Commands, Parents, print_json
from task_delegator.cli import whole_number
from task_delegator.errors import InputError
from task_delegator.settings import EMBEDDER


def add_parser(commands: Commands, parents: Parents) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "search", parents=[parents.data, parents.seed], help="search the retrieval knobs only"
    )
    parser.add_argument(
        "--trials", type=whole_number(1), default=60, help="total trials of the study"
    )
    parser.add_argument("--study", default="retrieval", help="name of the study")
    parser.add_argument(
        "--storage",
        help="where the study is kept: URL of a database, journal:FILE, grpc://HOST:PORT of "
        "Optuna's proxy, or mlflow; in memory by default",
    )
    parser.add_argument(
        "--artifacts",
        type=Path,
        metavar="FOLDER",
        help="keep a table of the requests of each trial here, for optuna-dashboard",
    )
    parser.add_argument(
        "--spark",
        nargs="?",
        const="",
        metavar="MASTER",
        help="run the trials on Spark, such as local[2] or spark://HOST:PORT; the environment's "
        "where none is named; the study is kept in MLflow",
    )
    parser.add_argument("--embedder", default=parents.embedder or EMBEDDER, help="embedder spec")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Search the retrieval knobs alone."""
    from optimize.checkpoint import digest_of, identity_of
    from optimize.data import load_dataset
    from optimize.search import ScoredRequests, StudyLocation, measure, search
    from optimize.tracking import MLFLOW, on_spark, study_storage
    from task_delegator.embedders import embedder
    from task_delegator.knobs import KnobValues
    from task_delegator.retrieval import IndexCache

    on_executors = options.spark is not None
    if on_executors and options.storage not in (None, MLFLOW):
        raise InputError(f"--spark keeps its study in MLflow: leave out --storage, or say {MLFLOW}")
    dataset = load_dataset(options.data, enriched=options.enriched)
    if not dataset.splits["validation"]:
        raise InputError(f"{dataset.path}: no validation requests; search needs them")
    index = IndexCache(dataset.registry, embedder(options.embedder)).index({})
    scored = ScoredRequests(index, dataset.splits["validation"])
    start = KnobValues()
    identity = identity_of(dataset, embedder=index.embed.id, knobs=start.model_dump())
    storage = study_storage(MLFLOW if on_executors else options.storage)
    location = StudyLocation(
        options.study,
        storage,
        digest_of(identity),
        options.artifacts and options.artifacts.resolve(),
        on_spark(storage, options.spark) if on_executors else None,
    )
    knobs, trials = search(
        scored, [start], trials=options.trials, seed=options.seed, location=location
    )
    chosen = measure(scored, knobs)
    result = {"trials": len(trials), "chosen": chosen.metrics(), "knobs": chosen.knobs.model_dump()}
    print_json(result)
    return 0
