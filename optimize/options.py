"""What a compilation may be asked to do, and how much it may take."""

from dataclasses import dataclass
from pathlib import Path

from optimize.calibrate import TARGET_PRECISION


@dataclass(frozen=True, slots=True)
class Preset:
    """How much a compilation may take.

    Attributes:
        trials: of the search.
        max_lm_calls: hard limit of the LM stage.
        lm_test_limit: test requests evaluated with the LM; None for all.
    """

    trials: int
    max_lm_calls: int
    lm_test_limit: int | None


PRESETS = {
    "quick": Preset(trials=60, max_lm_calls=200, lm_test_limit=5),
    "full": Preset(trials=300, max_lm_calls=600, lm_test_limit=100),
}


@dataclass(frozen=True, slots=True)
class Options:
    """What a compilation was asked to do.

    Attributes:
        traces: validation requests whose delegations are traced, 0 for none.
        trace_texts: show their texts, prompts and answers in the traces.
    """

    out: Path
    preset: str = "quick"
    optimizer: str = "bootstrap"
    teacher: str | None = None
    trials: int | None = None
    max_lm_calls: int | None = None
    samples_from_train: int = 0
    target_precision: float = TARGET_PRECISION
    embedder: str = "minilm"
    lm: str | None = None
    seed: int = 0
    traces: int = 3
    trace_texts: bool = False
