"""Multi-objective search over quality and cost."""

from optimize.joint.search import (
    JointSearchConfig,
    JointTrial,
    apply_trial,
    cheapest,
    front,
    joint_search,
)

__all__ = [
    "JointTrial",
    "JointSearchConfig",
    "cheapest",
    "front",
    "joint_search",
    "apply_trial",
]
