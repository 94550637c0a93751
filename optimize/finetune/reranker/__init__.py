"""Fine-tune a reranker: shortlists, training beside retrieval, export to ONNX."""

from optimize.finetune.reranker.recipe import ADAPTED, RerankerRecipe

__all__ = ["ADAPTED", "RerankerRecipe"]
