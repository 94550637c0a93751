"""A batch on a Ray cluster: complete and in order, whichever of its workers dies."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest

from task_delegator.batch import delegate_batch, on_ray
from task_delegator.delegator import Delegator
from task_delegator.errors import InputError, LMError

TASKS = [(number, f"task {number}") for number in range(1, 301)]


def program_of(folder: Path) -> Callable[[], Delegator]:
    """Return what makes a program whose worker dies at one task, the first time it is asked."""

    def load():
        class Program:
            def delegate_each(self, tasks, permissions):
                for task in tasks:
                    (folder / f"{task} by {os.getpid()}").touch()
                    if task == "task 150" and not (folder / "died").exists():
                        (folder / "died").touch()
                        os._exit(1)
                    yield LMError("no answer") if task == "task 7" else {"task": task}

        return cast("Delegator", Program())

    return load


@pytest.fixture
def cluster():
    """Start a cluster of two nodes on this machine."""
    ray = pytest.importorskip("ray", reason="the extra ray is not installed")
    utils = pytest.importorskip("ray.cluster_utils")
    nodes = utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    nodes.add_node(num_cpus=1)
    yield nodes
    ray.shutdown()
    nodes.shutdown()


@pytest.mark.slow
@pytest.mark.heavy
@pytest.mark.filterwarnings("default")  # those of Ray are not ours
@pytest.mark.fault(
    "kill -9",
    "a worker of `batch --ray`",
    holds="It is started again: complete, in order, no row twice.",
)
def test_a_batch_is_complete_and_in_order_though_a_worker_dies(cluster, tmp_path):
    asked = tmp_path / "asked"
    asked.mkdir()
    out = tmp_path / "out.jsonl"
    delegate = on_ray(program_of(asked), None, cluster.address, 2)
    done = delegate_batch(TASKS, delegate, out, "p")
    assert (done.rows, done.failed, done.exit_code) == (300, 1, LMError.exit_code)
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row["task"] for row in rows] == [task for _, task in TASKS]
    assert rows[6] == {"task": "task 7", "error": "no answer"}
    assert (asked / "died").exists()
    assert len({path.name.rpartition(" ")[2] for path in asked.glob("task*")}) >= 2


@pytest.mark.slow
@pytest.mark.heavy
@pytest.mark.filterwarnings("default")
def test_a_cluster_that_does_not_answer_is_one_line(tmp_path, monkeypatch):
    ray = pytest.importorskip("ray", reason="the extra ray is not installed")
    monkeypatch.setattr(ray, "init", lambda **_: (_ for _ in ()).throw(ConnectionError("no")))
    delegate = on_ray(program_of(tmp_path), None, "127.0.0.1:1", 1)
    with pytest.raises(InputError, match=r"--ray 127\.0\.0\.1:1: the cluster does not answer"):
        list(delegate(["a"]))
