"""What trainers of sentence-transformers need here: given batches, and checkpoints of weights.

Needs the extra ``finetune``.
"""

from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from optimize.finetune.checks import installed
from task_delegator.errors import InputError

with installed("finetune", "encoder,finetune"):
    torch: Any = import_module("torch")
    tables: Any = import_module("datasets")
    samplers: Any = import_module("sentence_transformers.base.sampler")
if not hasattr(tables, "Dataset"):  # a folder of this name, where the package is missing
    raise InputError(
        "finetune: datasets is not installed; run pip install 'task-delegator[encoder,finetune]'"
    )

_WEIGHTS = "trained.pt"


def last_checkpoint(folder: Path) -> str | None:
    """Return the newest checkpoint, None without one."""
    numbered = {int(path.name.rpartition("-")[2]): path for path in folder.glob("checkpoint-*")}
    whole = [n for n, path in numbered.items() if (path / "trainer_state.json").is_file()]
    return str(numbered[max(whole)]) if whole else None


def keeping_weights(trainer: Any) -> Any:
    """Return a class of trainer whose checkpoints hold weights, no card, tokenizer or config."""

    class Keeping(trainer):
        def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
            folder = Path(output_dir or self.args.output_dir)
            folder.mkdir(parents=True, exist_ok=True)
            torch.save(self.model.state_dict(), folder / _WEIGHTS)

        def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
            path = Path(resume_from_checkpoint) / _WEIGHTS
            self.model.load_state_dict(torch.load(path, weights_only=True))

    return Keeping


class InOrder(samplers.DefaultBatchSampler):
    """Give the rows of a table in the batches that were drawn.

    Args:
        sizes: of the batches, whose rows stand one after the other.
    """

    def __init__(self, sizes: Sequence[int]) -> None:
        super().__init__(range(sum(sizes)), batch_size=max(sizes), drop_last=False)
        self._sizes = tuple(sizes)

    def __iter__(self) -> Iterator[list[int]]:
        start = 0
        for size in self._sizes:
            yield list(range(start, start + size))
            start += size

    def __len__(self) -> int:
        return len(self._sizes)
