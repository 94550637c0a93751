"""Batches of pairs: one registry each, no agent twice, confusable agents together.

Every pair of a batch is the others' negative. So a batch holds agents of one registry, each once,
and beside an agent those that the retriever takes for it: they are the hard negatives.
"""

import math
import random
from collections.abc import Mapping, Sequence

import numpy as np

from optimize.data import Dataset
from optimize.finetune.encoder.pairs import AgentTexts, Pair, texts_to_pair
from optimize.finetune.encoder.recipe import EncoderRecipe
from task_delegator.embedders import Embedder
from task_delegator.errors import InputError
from task_delegator.retrieval import Index

_NEAREST = 8  # agents that are taken for an agent
_BESIDE = 3  # of them put into its batch
_SAME = 0.95  # cosine of two agents that do the same: no negatives of each other
_MOST_WEIGHED = 150  # agents; larger registries are not drawn from more often

Confusions = Mapping[str, Sequence[str]]


def confusions(dataset: Dataset, texts: Sequence[AgentTexts], embed: Embedder) -> Confusions:
    """Return the agents that retrieval ranks highest for another agent's texts, nearest first.

    Looked up with a text of the agent that the index holds already, by descriptions and, where
    agents have them, by samples.
    """
    index = Index(dataset.registry, embed)
    known = {own.agent for own in texts}
    found: dict[str, list[str]] = {}
    for own in texts:
        text = own.samples[0] if own.samples else own.description
        vector = index.encodings[text].vector
        _, _, by_samples = index.samples(vector)
        scores = np.where(index.has_samples, by_samples, index.description(vector))
        order = np.argsort(-scores, kind="stable")[: 4 * _NEAREST]
        near = [index.names[place] for place in order if scores[place] < _SAME]
        found[own.agent] = [name for name in near if name in known and name != own.agent][:_NEAREST]
    return found


def draw_batches(
    datasets: Sequence[Dataset], embed: Embedder, recipe: EncoderRecipe
) -> list[list[Pair]]:
    """Return the batches of a training, in order.

    Registries take turns at random, by the root of the number of their agents.

    Args:
        datasets: registries.
        embed: finds the agents that are taken for each other.
        recipe: a batch has fewer pairs where a registry has fewer agents.

    Raises:
        InputError: no registry has two agents with pairs.
    """
    sources = [(d, texts) for d in datasets if len(texts := texts_to_pair(d)) > 1]
    if not sources:
        raise InputError("finetune encoder: no training registry has two agents with two texts")
    mined = [confusions(dataset, texts, embed) for dataset, texts in sources]
    weights = [math.sqrt(min(len(texts), _MOST_WEIGHED)) for _, texts in sources]
    rng = random.Random(recipe.seed)
    places = rng.choices(range(len(sources)), weights, k=recipe.steps)
    return [_batch(sources[place][1], mined[place], recipe, rng) for place in places]


def _batch(
    texts: Sequence[AgentTexts], near: Confusions, recipe: EncoderRecipe, rng: random.Random
) -> list[Pair]:
    by_name = {own.agent: own for own in texts}
    chosen: dict[str, None] = {}
    for name in rng.sample(sorted(by_name), len(by_name)):
        if len(chosen) >= recipe.batch:
            break
        beside = rng.sample(list(near[name]), min(_BESIDE, len(near[name])))
        chosen |= dict.fromkeys((name, *beside))
    drawn = list(chosen)[: recipe.batch]
    return [by_name[name].draw(rng, recipe.described) for name in drawn]
