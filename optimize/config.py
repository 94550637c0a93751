"""Presets and options of ``compile``, resolved to a CompileConfig."""

from dataclasses import dataclass, fields, replace
from pathlib import Path

from optimize.calibration import DELTA, OUT_OF_SCOPE_SHARE, TARGET_PRECISION
from task_delegator.settings import EMBEDDER
from task_delegator.signatures import SLOTS
from task_delegator.stages import Card

ASK_SHARE = 0.4  # of the tasks in scope that the LM is asked about


@dataclass(frozen=True, slots=True)
class Preset:
    """How much a compilation may take.

    Attributes:
        trials: of the search.
        max_lm_calls: hard limit of the LM stage.
        lm_test_limit: test requests evaluated with the LM; None for all.
        cards: how much of an agent the LM is shown: the ways that are compared.
        most_shown: agents that it is shown at most.
    """

    trials: int
    max_lm_calls: int
    lm_test_limit: int | None
    cards: tuple[Card, ...] = ("standard", "full", "brief")
    most_shown: int = len(SLOTS)


PRESETS = {
    "quick": Preset(trials=60, max_lm_calls=200, lm_test_limit=5),
    "full": Preset(trials=300, max_lm_calls=600, lm_test_limit=100),
}

# What a call of the embedded LM takes is reading the prompt. Of one processor's time, measured:
# five agents on brief cards (900 tokens) 2.2 s, eight on standard cards (2,400 tokens) 11 s.
EMBEDDED_PRESETS = PRESETS | {
    "quick": replace(PRESETS["quick"], max_lm_calls=110, cards=("brief",), most_shown=5)
}


@dataclass(frozen=True, slots=True)
class Options:
    """What a compilation was asked to do.

    Attributes:
        trials, max_lm_calls: None for the preset's.
        optimizer: of the LM's prompt; None leaves the prompt as it is.
        target_precision: of everything that is assigned.
        out_of_scope_share: of the traffic that this precision is for.
        delta: probability of missing it that is accepted.
        ask_share: share of the tasks in scope that the LM is asked about at most.
        reranker: spec of the one that may read the best agents; None for none.
        traces: validation requests whose delegations are traced, 0 for none.
        trace_texts: show their texts, prompts and answers in the traces.
    """

    out: Path
    preset: str = "quick"
    optimizer: str | None = "bootstrap"
    teacher: str | None = None
    trials: int | None = None
    max_lm_calls: int | None = None
    samples_from_train: int = 0
    target_precision: float = TARGET_PRECISION
    out_of_scope_share: float = OUT_OF_SCOPE_SHARE
    delta: float = DELTA
    ask_share: float = ASK_SHARE
    embedder: str = EMBEDDER
    reranker: str | None = None
    lm: str | None = None
    seed: int = 0
    traces: int = 3
    trace_texts: bool = False

    def resolved(self, has_lm: bool, embedded: bool = False) -> "CompileConfig":
        """Return what the compilation does: what was left open is the preset's.

        Args:
            has_lm: whether there is an LM; without one no call is made and no prompt optimized.
            embedded: whether the LM runs in this machine's processor, where prompts are short.
        """
        preset = (EMBEDDED_PRESETS if embedded else PRESETS)[self.preset]
        calls = preset.max_lm_calls if self.max_lm_calls is None else self.max_lm_calls
        calls = calls if has_lm else 0
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        return CompileConfig(
            **{
                **given,
                "optimizer": self.optimizer if calls else None,
                "trials": preset.trials if self.trials is None else self.trials,
                "max_lm_calls": calls,
                "lm_test_limit": preset.lm_test_limit,
                "cards": preset.cards,
                "most_shown": preset.most_shown,
            }
        )


@dataclass(frozen=True, slots=True)
class CompileConfig:
    """What a compilation does; nothing is left to a preset.

    Attributes:
        optimizer: of the LM's prompt; None leaves it as it is.
        trials: that the search shall have in the end.
        max_lm_calls: of the LM stage; 0 where no LM is asked.
        lm_test_limit: test requests evaluated with the LM; None for all.
        cards, most_shown: what the LM is shown, as in ``Preset``.
    """

    out: Path
    preset: str
    optimizer: str | None
    teacher: str | None
    trials: int
    max_lm_calls: int
    lm_test_limit: int | None
    cards: tuple[Card, ...]
    most_shown: int
    samples_from_train: int
    target_precision: float
    out_of_scope_share: float
    delta: float
    ask_share: float
    embedder: str
    reranker: str | None
    lm: str | None
    seed: int
    traces: int
    trace_texts: bool
