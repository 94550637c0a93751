"""Fine-tune the embedded LM, an encoder or a reranker: data, training, export, learning curve."""

from optimize.finetune.encoder import ADAPTED, BASE_SPEC, EncoderRecipe, load_source, load_sources
from optimize.finetune.learning_curve import choose_checkpoint
from optimize.finetune.order_sensitivity import Picks, picks
from optimize.finetune.reranker import ADAPTED as ADAPTED_RERANKER
from optimize.finetune.reranker import RerankerRecipe

__all__ = [
    "ADAPTED",
    "ADAPTED_RERANKER",
    "BASE_SPEC",
    "EncoderRecipe",
    "Picks",
    "RerankerRecipe",
    "choose_checkpoint",
    "load_source",
    "load_sources",
    "picks",
]
