"""What the tests of optimizing share."""

import pytest
from small import small_dataset

from optimize.data.dataset import Dataset, load_dataset


@pytest.fixture(scope="session")
def dataset(tmp_path_factory) -> Dataset:
    """Twelve agents and their requests, which no test changes."""
    return load_dataset(small_dataset(tmp_path_factory.mktemp("data")))
