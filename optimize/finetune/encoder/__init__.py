"""Fine-tune an encoder: sources, pairs, batches, training, export to ONNX."""

from optimize.finetune.encoder.recipe import EncoderRecipe
from optimize.finetune.encoder.sources import load_source

__all__ = ["EncoderRecipe", "load_source"]
