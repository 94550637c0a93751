"""Fine-tune an encoder: sources, pairs, batches, training, export to ONNX."""

from optimize.finetune.encoder.base import BASE_SPEC
from optimize.finetune.encoder.recipe import ADAPTED, EncoderRecipe
from optimize.finetune.encoder.sources import load_source, load_sources

__all__ = ["ADAPTED", "BASE_SPEC", "EncoderRecipe", "load_source", "load_sources"]
