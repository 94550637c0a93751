"""Calibrate a program on the samples of its agents, before any request is labeled."""

from collections.abc import Collection
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..calibration import CalibratedAgents, SelfCalibration, kept_calibration
from ..decision import Target
from ..delegator import Delegator
from ..registry import Registry


def written_samples(registry: Registry | str | Path) -> frozenset[str] | None:
    """Return the samples that a registry's file holds without its enrichment; None for any."""
    if isinstance(registry, Registry):
        return None
    return frozenset(s for agent in Registry.load(registry) for s in agent.user_request_samples)


def calibrate_itself(
    delegator: Delegator, written: Collection[str] | None = None, target: float | None = None
) -> SelfCalibration:
    """Calibrate a program on the samples of its agents; its knobs are set.

    Args:
        delegator: the program.
        written: samples that people wrote; see ``calibrate_on_samples``.
        target: precision of assigned tasks to aim at; None for 0.95.

    Raises:
        InputError: there are too few agents or samples, or the precision is out of its range;
            nothing is changed.
    """
    aim = Target() if target is None else Target(target)
    knobs = delegator.knobs.values
    made = kept_calibration(delegator.retrieve, knobs, written, aim.precision)
    delegator.knobs.set(made.knobs)
    delegator.knobs.brought_along = False
    digests = frozenset(agent.reading_digest() for agent in delegator.registry)
    trusted = delegator.calibrated_for.trusted
    delegator.calibrated_for = CalibratedAgents(digests, "samples", trusted)
    return made


def self_calibrated_manifest(
    delegator: Delegator, made: SelfCalibration, before: dict[str, Any]
) -> dict[str, Any]:
    """Return what a manifest records of a program that ``calibrate_itself`` calibrated.

    Args:
        delegator: the program.
        made: its calibration.
        before: the manifest of what it was loaded from.
    """
    agents = delegator.registry
    return {
        "embedder": before["embedder"],
        "reranker": before.get("reranker"),
        "registry": {
            "sha256": agents.sha256(),
            "agents": len(agents),
            "calibrated": sorted(agent.reading_digest() for agent in agents),
            "calibrated_by": "samples",
        },
        "knobs": delegator.knobs.values.model_dump(),
        "self_calibration": asdict(made),
        "calibrated_from": before,
    }
