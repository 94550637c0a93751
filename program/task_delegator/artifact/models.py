"""The models that a program was compiled with: its embedder and its reranker.

A program does not choose what is opened or asked. Its manifest names both; what is not part of
this package is opened where the caller names it.
"""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..delegator import Delegator
from ..embedders import PACKAGED, Embedder, embedder
from ..errors import ProgramError
from ..text import one_line
from .state import MANIFEST

_log = logging.getLogger(__name__)


def embedder_of(
    given: str | Embedder | None, manifest: Mapping[str, Any], folder: Path
) -> Embedder:
    """Return the embedder that the caller names, else the manifest's.

    Raises:
        ProgramError: the program was compiled with another.
    """
    held = manifest["embedder"]
    if given is None:
        given = _packaged(held["spec"], folder)
    elif isinstance(given, str):
        given = embedder(given)
    if given.id != held["id"]:
        named = f"use --embedder {held['spec']}, or compile again"
        if held["spec"] in PACKAGED and embedder(held["spec"]).id != held["id"]:
            named = f"{held['spec']} is another in this version: compile again"
        raise ProgramError(
            f"{folder}: compiled with embedder {held['id']}, not {given.id}; {named}"
        )
    return given


def _packaged(spec: str, folder: Path) -> Embedder:
    """Return the embedder that a manifest names, where it is part of this package.

    A program does not choose what is opened or asked: others are named by the caller.

    Raises:
        ProgramError: the manifest names another embedder.
    """
    if spec not in PACKAGED:
        raise ProgramError(
            f"{folder / MANIFEST}: compiled with the embedder {one_line(str(spec))[:100]!r}; "
            "name it (--embedder, embedder=) if you trust it with your agents and tasks"
        )
    return embedder(spec)


def check_reranker(delegator: Delegator, manifest: Mapping[str, Any], folder: Path) -> None:
    """Check that a program has the reranker that it was compiled with, where it uses one.

    A manifest opens none: it is named by the caller.

    Raises:
        ProgramError: it has none or another.
    """
    given, held = delegator.retrieve.rerank.id, manifest.get("reranker")
    if delegator.knobs.values.retrieval.rerank == 0:
        if given is not None:
            _log.info("%s: uses no reranker; %s is not asked", folder, given)
        return
    if held is None:
        raise ProgramError(
            f"{folder / MANIFEST}: names no reranker, and the program uses one; compile it again"
        )
    if given != held["id"]:
        id_, spec = (one_line(held[key])[:100] for key in ("id", "spec"))
        raise ProgramError(
            f"{folder}: compiled with reranker {id_}, not {given or 'none'}; use --reranker {spec} "
            f"(reranker=) if you trust it with your agents and tasks, or compile again"
        )


def names_reranker(held: Any) -> bool:
    """Tell whether a manifest's entry names a reranker as ``compile`` writes it."""
    return isinstance(held, dict) and all(isinstance(held.get(key), str) for key in ("spec", "id"))
