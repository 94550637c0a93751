"""Fine-tune the embedded LM: data, training, export, learning curve."""

from optimize.finetune.learning_curve import best_state
from optimize.finetune.order_sensitivity import Picks, picks

__all__ = [
    "Picks",
    "best_state",
    "picks",
]
