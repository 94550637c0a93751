"""Dataset directories: read them, check them, merge feedback into them."""

from optimize.data.answers import agreed, last_answers
from optimize.data.checks import leaks, warn_of_repeats
from optimize.data.dataset import (
    NEAR_COPY,
    OURS,
    SPLITS,
    Dataset,
    Request,
    known_texts,
    load_dataset,
    most_of_an_agent,
)
from optimize.data.feedback import Merged, merge, merge_rows
from optimize.data.fitted import count_fitted, fitted_on, warn_of_fitted
from optimize.data.registries import (
    ENCODER_REGISTRIES,
    REGISTRIES,
    WrittenAgent,
    read_registries,
)

__all__ = [
    "NEAR_COPY",
    "Merged",
    "OURS",
    "ENCODER_REGISTRIES",
    "REGISTRIES",
    "SPLITS",
    "Dataset",
    "Request",
    "WrittenAgent",
    "agreed",
    "count_fitted",
    "fitted_on",
    "known_texts",
    "last_answers",
    "leaks",
    "load_dataset",
    "merge",
    "merge_rows",
    "most_of_an_agent",
    "read_registries",
    "warn_of_fitted",
    "warn_of_repeats",
]
