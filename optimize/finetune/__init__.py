"""Fine-tune the embedded LM or an encoder: data, training, export, learning curve."""

from optimize.finetune.encoder import ADAPTED, EncoderRecipe, load_source
from optimize.finetune.learning_curve import choose_checkpoint
from optimize.finetune.order_sensitivity import Picks, picks

__all__ = [
    "ADAPTED",
    "EncoderRecipe",
    "Picks",
    "choose_checkpoint",
    "load_source",
    "picks",
]
