"""Peers with lexical and vector retrieval: semantic-router and toolpicker."""

import itertools
from importlib import import_module
from typing import Any

from job import TOP_K, Job, Labeled, Ranked, Ranker, rated

_KEPT = 15  # settings that are best on some requests, tried on all
_WEIGHTS = (0.0, 0.03, 0.1, 0.3, 1.0, 3.0)  # of words and of descriptions, beside the samples' 1
_NEIGHBORS = (1, 3, 5, 15, 40)  # samples that vote
_RRF_K = (1, 10, 60)
_OVERFETCH = 12  # agents of each ranking that ToolPicker fuses to answer with three


def semantic_router(job: Job) -> tuple[Ranker, dict[str, Any]]:
    """Tune the IndexedRouter: sparse half, its share, top_k and aggregation; then ``fit``."""
    routers = import_module("semantic_router")
    encoders = import_module("semantic_router.encoders")
    indexed = import_module("semantic_router.routers.indexed")

    class Table(encoders.DenseEncoder):
        def __call__(self, docs: list[Any]) -> list[list[float]]:
            return job.embed(docs)

    routes = [
        routers.Route(name=a["name"], utterances=[*a["samples"], a["described"]])
        for a in job.agents
    ]
    dense = routers.IndexedRouter(encoder=Table(name="table"), routes=routes)
    sparse = encoders.TfidfEncoder()
    both = routers.IndexedRouter(encoder=Table(name="table"), routes=routes, sparse_encoder=sparse)
    answered = {
        "dense": (dense, [1.0]),
        "dense and TF-IDF": (both, [0.1, 0.3, 0.5, 0.7, 0.85, 0.95]),
    }
    grid = [
        {"index": kind, "alpha": share, "top_k": top_k, "aggregation": way}
        for kind, (_, shares) in answered.items()
        for share, top_k, way in itertools.product(shares, TOP_K, ("mean", "max", "sum"))
    ]

    def at(settings: dict[str, Any]) -> Any:
        router, _ = answered[settings["index"]]
        router.alpha, router.top_k = settings["alpha"], settings["top_k"]
        router.aggregate = indexed._AGG[settings["aggregation"]]
        return router

    def rate(settings: dict[str, Any], labeled: list[Labeled]) -> float:
        scored = router_scores(at(settings), [text for text, _ in labeled])
        return rated([max(scores, key=lambda n: scores[n]) for scores in scored], labeled)

    dense_alone = [settings for settings in grid if settings["index"] == "dense"]
    mixed = [settings for settings in grid if settings["index"] != "dense"]
    good = sorted(mixed, key=lambda settings: -rate(settings, job.few))[:_KEPT]
    settings = max(dense_alone + good, key=lambda settings: rate(settings, job.validation))
    router = at(settings)
    router.fit([text for text, _ in job.validation], [labels[0] for _, labels in job.validation])

    def rank(text: str) -> Ranked:
        picks = router(text, limit=3, threshold=0.0)
        return [pick.name for pick in picks], float(picks[0].confidence) if picks else 0.0

    return rank, settings


def router_scores(router: Any, texts: list[str]) -> list[dict[str, float]]:
    """Return a router's raw score of every route."""
    base = import_module("semantic_router.routers.base")
    return base.run(router._scores_many(texts))


def toolpicker(job: Job) -> tuple[Ranker, dict[str, Any]]:
    """Tune ToolPicker's weights, fusion and neighbors, the samples as its intent examples."""
    peer = import_module("toolpicker")
    samples = {a["name"]: a["samples"] for a in job.agents}
    schemas = [{"name": a["name"], "description": a["described"]} for a in job.agents]
    examples = [
        peer.IntentExample(query=sample, tool_id=name)
        for name, texts in samples.items()
        for sample in texts
    ]
    sources = {
        "descriptions": peer.FunctionSchemaSource(schemas),
        "descriptions and samples": peer.FunctionSchemaSource(schemas, keywords=samples),
    }
    embedder = toolpicker_embedder(job)
    intents = {
        number: peer.EmbeddingNNIntent(examples=examples, embedder=embedder, neighbours=number)
        for number in _NEIGHBORS
    }
    source, bm25, semantic, neighbors, rrf_k = tune_toolpicker(job, sources, intents, embedder)
    picker = peer.ToolPicker(
        sources[source],
        embedder=embedder,
        intent_classifier=intents[neighbors],
        bm25_weight=bm25,
        semantic_weight=semantic,
        rrf_k=rrf_k,
    )
    settings = {
        "BM25 over": source,
        "bm25": bm25,
        "semantic": semantic,
        "neighbours": neighbors,
        "rrf_k": rrf_k,
    }
    return lambda text: ([tool.id for tool in picker.select(text, k=3)], 0.0), settings


def toolpicker_embedder(job: Job) -> Any:
    """Return the job's vectors as an embedder of ToolPicker."""

    class Table:
        dimensions = 384

        def embed(self, texts: list[str]) -> list[list[float]]:
            return job.embed(texts)

    return Table()


def tune_toolpicker(
    job: Job, sources: dict[str, Any], intents: dict[int, Any], embedder: Any
) -> tuple[str, float, float, int, int]:
    """Return the setting of highest top-1 on validation.

    Each of the three retrievers ranks a request once. ToolPicker's own function fuses these
    rankings under every setting.

    Args:
        sources: what BM25 searches, by name.
        intents: classifiers over the samples, by number of neighbors.

    Returns:
        The source of BM25, the weights of BM25 and of the embeddings, neighbors, and k of
        reciprocal rank fusion.
    """
    peer = import_module("toolpicker")
    semantic_retriever = import_module("toolpicker.retrievers").SemanticRetriever
    rankers = {
        **{name: peer.BM25Retriever(each.tools()).retrieve for name, each in sources.items()},
        "meaning": semantic_retriever(sources["descriptions"].tools(), embedder).retrieve,
        **{number: intent.classify for number, intent in intents.items()},
    }
    rankings = {
        name: [ranker(text, k=_OVERFETCH) for text, _ in job.validation]
        for name, ranker in rankers.items()
    }

    def score(setting: tuple[str, float, float, int, int]) -> float:
        source, bm25, semantic, neighbors, rrf_k = setting
        fused = [
            peer.reciprocal_rank_fusion(list(three), weights=[bm25, semantic, 1.0], rrf_k=rrf_k)
            for three in zip(
                rankings[source], rankings["meaning"], rankings[neighbors], strict=True
            )
        ]
        return rated([ranking[0][0] if ranking else None for ranking in fused], job.validation)

    return max(itertools.product(sources, _WEIGHTS, _WEIGHTS, _NEIGHBORS, _RRF_K), key=score)
