"""Let an LM write agents and requests, and filter them."""

from optimize.synthesis.enrich import enrich_dataset
from optimize.synthesis.pipeline import synthesize
from optimize.synthesis.spec import SynthesisSpec

__all__ = [
    "SynthesisSpec",
    "enrich_dataset",
    "synthesize",
]
