"""The benchmark of the service asks a real one, and leaves no process behind."""

import pytest
from small import HashedWords, office_registry

from optimize import benchmark_service as benchmark
from task_delegator.delegator import Delegator
from task_delegator.errors import InputError

TEXTS = ["refund my order", "book a train"]


def test_the_loop_counts_what_it_delegates(office):
    seen = benchmark.loop(Delegator(office, HashedWords()), benchmark.unlike(TEXTS), 0.2)
    assert seen.rate > 0
    assert 0 < seen.middle <= seen.late
    assert seen.processor > 0


@pytest.mark.slow
def test_clients_ask_a_service_that_ends_with_the_block(tmp_path):
    path = tmp_path / "agents.json"
    office_registry().save(path)
    with benchmark.serving(path, "default") as (address, process):
        seen = benchmark.load(address, process.pid, benchmark.unlike(TEXTS), 4, 1.0)
        assert seen.rate > 0
        with pytest.raises(InputError, match="status 400"):
            benchmark.load(address, process.pid, iter(["  "]), 1, 1.0)
    assert process.poll() is not None


@pytest.mark.slow
def test_a_service_that_does_not_start_is_told(tmp_path):
    with (
        pytest.raises(InputError, match="not ready"),
        benchmark.serving(tmp_path / "none.json", "default"),
    ):
        raise AssertionError
