"""Fine-tune the embedded LM: data, training, export, learning curve."""

from optimize.finetune.learning_curve import choose_checkpoint
from optimize.finetune.order_sensitivity import Picks, picks

__all__ = [
    "Picks",
    "choose_checkpoint",
    "picks",
]
