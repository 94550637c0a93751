"""Specs of recorded LMs: ``recorded:<folder>[?option=value&...]``.

also=FOLDER          a second folder, whose answers are read beside the first's
file=NAME            one file of the folder; by default the file whose registry has the agents
split=NAME           rows of this split alone
logprobs=on|off      whether log-probabilities are returned where they are asked for
answer=argmax|sample the likeliest slot, or one drawn at any temperature but 0
seed=N               of the draws
unlisted=P           of a shown agent that the LM gave nothing: log-probabilities have no 0
"""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

from optimize.data import SPLITS
from task_delegator.errors import LMSpecError
from task_delegator.system import sha256_file, sha256_text

PREFIX = "recorded"
_ONE_OF: dict[str, tuple[str, ...]] = {
    "split": tuple(SPLITS),
    "logprobs": ("on", "off"),
    "answer": ("argmax", "sample"),
}


@dataclass(frozen=True, slots=True)
class RecordedSpec:
    """A recorded LM: where its answers are, and how it gives them.

    Attributes:
        folder: of JSONL files.
        also: a second such folder; None without one.
        file, split: which rows; None for all.
        logprobs: give log-probabilities where they are asked for.
        answer: ``argmax``, or ``sample``: drawn at any temperature but 0.
        seed: of the draws.
        unlisted: probability of a shown agent that the LM gave nothing, before renormalising;
            two-digit answers leave open what is below .005.
    """

    folder: Path
    also: Path | None = None
    file: str | None = None
    split: str | None = None
    logprobs: bool = True
    answer: str = "argmax"
    seed: int = 0
    unlisted: float = 1e-4

    @property
    def label(self) -> str:
        """The spec's first half, which errors name."""
        return f"{PREFIX}:{self.folder.name}"

    @property
    def folders(self) -> tuple[Path, ...]:
        """Every folder that is read."""
        return (self.folder,) if self.also is None else (self.folder, self.also)

    def model(self) -> str:
        """Return a model string that tells recordings and options apart, for caches."""
        places = ("folder", "also")
        options = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in places}
        held = [sha256_file(p) for folder in self.folders for p in sorted(folder.glob("*.jsonl"))]
        return f"{PREFIX}/{self.folder.name}-{sha256_text(urlencode(options) + str(held))[:8]}"


def check_spec(spec: str) -> RecordedSpec:
    """Return what the spec of a recorded LM says.

    Raises:
        LMSpecError: an option is unknown, or has no value that it may have.
    """
    folder, _, query = spec.removeprefix(f"{PREFIX}:").partition("?")
    if not folder:
        raise LMSpecError(f"lm {spec!r}: name a folder, e.g. recorded:../shared/data/lm_answers")
    try:
        given = dict(parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query)))
    except ValueError as error:
        raise LMSpecError(f"lm {spec!r}: options look like ?answer=sample&seed=1") from error
    names = [f.name for f in fields(RecordedSpec) if f.name != "folder"]
    for name, value in given.items():
        if name not in names:
            raise LMSpecError(f"lm {spec!r}: unknown option {name!r}; use {', '.join(names)}")
        if name in _ONE_OF and value not in _ONE_OF[name]:
            raise LMSpecError(f"lm {spec!r}: {name} must be one of {', '.join(_ONE_OF[name])}")
    kept: dict[str, Any] = {n: v for n, v in given.items() if n in ("file", "split", "answer")}
    try:
        unlisted = float(given.get("unlisted", 1e-4))
        seed = int(given.get("seed", 0))
    except ValueError as error:
        raise LMSpecError(f"lm {spec!r}: seed and unlisted are numbers") from error
    if not 0 < unlisted <= 0.01:
        raise LMSpecError(f"lm {spec!r}: unlisted must be above 0 and at most 0.01")
    return RecordedSpec(
        Path(folder),
        Path(given["also"]) if given.get("also") else None,
        logprobs=given.get("logprobs") != "off",
        seed=seed,
        unlisted=unlisted,
        **kept,
    )
