"""Recipe: how a reranker is trained."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RerankerRecipe:
    """How a reranker is trained.

    Attributes:
        steps: of the optimizer, one batch each.
        batch: requests of a batch, each with its candidates.
        candidates: agents of a request, those that retrieval ranks first.
        requests: of a registry that are trained on at most, a fixed random part.
        rate: of AdamW at its peak; it rises over a tenth of the steps and falls to 0 in a line.
        head_rate: the same of the last layer, which begins at 0.
        first: lowest layer that is trained; the word embeddings are not.
        most_tokens: of a pair; the longer text is cut off.
        every: steps between evaluations.
        patience: evaluations without a better one before training stops.
    """

    steps: int = 300
    batch: int = 8
    candidates: int = 6
    requests: int = 1500
    rate: float = 1e-4
    head_rate: float = 1e-3
    first: int = 2
    most_tokens: int = 32
    every: int = 100
    patience: int = 3
    seed: int = 0


# For one registry with many labeled requests, which is all that its reranker is for.
# hwu64, 600 validation requests, 84.5 % top-1 by retrieval alone: 88.7 % with it; 87.3 % after 600
# steps on 4,000 requests.
ADAPTED = RerankerRecipe(steps=900, requests=8000)
