"""Delegate the tasks of a batch on a Ray cluster (extra ``ray``), in the order of the tasks.

Ray Data gives each of its workers chunks of tasks; a worker loads the program once. A worker that
ends before its time is started again, and its chunk with it. Rows come back to the process that
asked, which writes them to its journal: only it knows which tasks are done.
"""

import logging
import os
import pickle
from collections.abc import Callable, Collection, Iterator, Sequence
from importlib import import_module
from typing import Any

from ..delegator import Delegator
from ..errors import DelegatorError, InputError
from ..system import needed
from .engine import Delegate, Row, row_of

LOCAL = "local"  # in place of an address: this machine
_CHUNK = 64  # tasks that a worker is given at a time


def on_ray(
    load: Callable[[], Delegator],
    permissions: Collection[str] | None,
    address: str,
    workers: int,
) -> Delegate:
    """Return what delegates tasks on a cluster.

    Args:
        load: makes the program; can be pickled, and what it reads is there on every node.
        permissions: the caller's.
        address: of the cluster, as ``ray.init`` takes it; ``"local"`` for one of this machine.
        workers: processes, one processor each.

    Raises:
        InputError: Ray is not installed, or the cluster does not answer.
    """
    with needed("ray"):
        ray: Any = import_module("ray")
        data: Any = import_module("ray.data")

    def delegate(tasks: Sequence[str]) -> Iterator[Row | DelegatorError]:
        begun = not ray.is_initialized()
        if begun:
            _connect(ray, address)
        try:
            context = data.DataContext.get_current()
            context.execution_options.preserve_order = True
            context.enable_progress_bars = False  # the batch has one of its own
            given = data.from_items([{"task": task} for task in tasks])
            answered = given.map_batches(
                _Worker,
                fn_constructor_args=(load, permissions),
                batch_size=_CHUNK,
                compute=data.ActorPoolStrategy(size=workers),
                num_cpus=1,
            )
            for row in answered.iter_rows():
                yield pickle.loads(row["answer"])  # our own workers wrote it
        finally:
            if begun:
                ray.shutdown()

    return delegate


def _connect(ray: Any, address: str) -> None:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # or Ray reports its use to its maker
    local = {"num_cpus": os.cpu_count(), "include_dashboard": False}
    where = local if address == LOCAL else {"address": address}
    try:
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        ray.init(**where, log_to_driver=False, logging_level="error")
    except Exception as error:  # of Ray's own classes, and of the network
        raise InputError(
            f"--ray {address}: the cluster does not answer ({type(error).__name__}); "
            "give the address that ray start printed, or local"
        ) from error


class _Worker:
    """Delegate chunks of tasks with one program."""

    def __init__(self, load: Callable[[], Delegator], permissions: Collection[str] | None) -> None:
        self._delegator, self._permissions = load(), permissions

    def __call__(self, chunk: dict[str, Any]) -> dict[str, list[bytes]]:
        tasks = [str(task) for task in chunk["task"]]
        answers = self._delegator.delegate_each(tasks, self._permissions)
        return {"answer": [pickle.dumps(row_of(answer)) for answer in answers]}
