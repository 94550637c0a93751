"""Multi-objective search over quality and cost."""

from optimize.joint.search import Point, Scope, cheapest, front, joint_search, settled

__all__ = [
    "Point",
    "Scope",
    "cheapest",
    "front",
    "joint_search",
    "settled",
]
