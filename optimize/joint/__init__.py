"""Joint search: multi-objective, over quality and cost of the whole program."""

from optimize.joint.search import (
    JointSearchConfig,
    JointTrial,
    apply_trial,
    cheapest,
    front,
    joint_search,
)

__all__ = [
    "JointSearchConfig",
    "JointTrial",
    "apply_trial",
    "cheapest",
    "front",
    "joint_search",
]
