"""Multi-objective search over quality and cost."""

from optimize.joint.search import (
    JointSearchConfig,
    JointTrial,
    cheapest,
    front,
    joint_search,
    settled,
)

__all__ = [
    "JointTrial",
    "JointSearchConfig",
    "cheapest",
    "front",
    "joint_search",
    "settled",
]
