"""Recipe: how an encoder is trained."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EncoderRecipe:
    """How an encoder is trained.

    Attributes:
        steps: of the optimizer, one batch each.
        batch: pairs of a batch at most, each of another agent.
        rate: of AdamW at its peak; it rises over a tenth of the steps and falls to 0 as a cosine.
        temperature: of the softmax over the batch.
        first: lowest layer that is trained; the word embeddings are not.
        kept: weight of the tuned weights in the average with the base's, 0 to 1.
        described: one in so many pairs of a request leads to the description.
        teacher: spec of a larger encoder whose similarities are learned beside the labels; "" for
            none.
        taught: share of the loss that is the teacher's, 0 to 1.
        every: steps between evaluations.
        patience: evaluations without a better one before training stops.
    """

    steps: int = 1000
    batch: int = 48
    rate: float = 1e-4
    temperature: float = 0.05
    first: int = 3
    kept: float = 1.0
    described: int = 2
    teacher: str = "mpnet"
    taught: float = 0.5
    every: int = 100
    patience: int = 3
    seed: int = 0


# For one registry, which is all that its encoder is for. Regression over the samples, banking77,
# 400 validation requests: 90.5 % top-1, averaged with the base 88.5 %.
ADAPTED = EncoderRecipe(steps=150, batch=64, first=4, described=3, teacher="", every=50)
