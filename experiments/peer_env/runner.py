"""Run one peer on one job; executed by the peers' own Python, so it imports no project code.

``python -P runner.py PEER FOLDER``: reads ``job.json`` and ``vectors.npz`` of the folder and
writes ``PEER.json``. The embedder of every peer is a table of vectors that the project's own
embedder made, so that all see the same ones; its time is not part of a peer's time.
"""

import itertools
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

_TOP_K = (1, 3, 5, 10, 20, 50, 100)  # texts that a retriever ranks agents by
_C = (0.1, 1, 10, 100, 1000, 10_000)  # inverse of a logistic regression's regularisation
_MIDDLE_C = 10
_TOLERANCE = 1e-6  # the loss is a mean: with thousands of agents, scikit-learn's 1e-4 ends at once
_FEW_C = (10, 1000)  # of them, where there are thousands of agents
_MANY = 1000
_FEW, _KEPT = 100, 15  # a slow grid is tried on some so many requests, its best settings on all

Ranked = tuple[list[str], float]  # up to three agents, best first, and how sure
Ranker = Callable[[str], Ranked]
Labelled = tuple[str, list[str]]  # a request, and the agents that are right for it


class Job:
    """Agents, labelled requests to choose settings on, requests to answer, and vectors."""

    def __init__(self, folder: Path) -> None:
        content = json.loads((folder / "job.json").read_text(encoding="utf-8"))
        self.agents: list[dict[str, Any]] = content["agents"]
        self.validation: list[Labelled] = content["validation"]
        self.few = self.validation[:: max(1, len(self.validation) // _FEW)]
        self.requests: list[str] = content["requests"]
        table = np.load(folder / "vectors.npz")
        self.vectors = dict(zip(content["texts"], table["vectors"], strict=True))

    def texts(self) -> Iterator[tuple[str, str]]:
        """Yield what each agent says of itself, text by text, as (name, text)."""
        for agent in self.agents:
            for text in [agent["described"], *agent["samples"]]:
                yield agent["name"], text

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """Return the vectors of known texts."""
        return [self.vectors[text].tolist() for text in texts]


def rated(first: Sequence[str | None], labelled: Sequence[Labelled]) -> float:
    """Return how many of these first places are right."""
    pairs = zip(first, labelled, strict=True)
    return float(np.mean([name in right for name, (_, right) in pairs]))


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
        for share, top_k, way in itertools.product(shares, _TOP_K, ("mean", "max", "sum"))
    ]

    def at(settings: dict[str, Any]) -> Any:
        router, _ = answered[settings["index"]]
        router.alpha, router.top_k = settings["alpha"], settings["top_k"]
        router.aggregate = indexed._AGG[settings["aggregation"]]
        return router

    def rate(settings: dict[str, Any], labelled: list[Labelled]) -> float:
        scored = router_scores(at(settings), [text for text, _ in labelled])
        return rated([max(scores, key=lambda n: scores[n]) for scores in scored], labelled)

    good = sorted(grid, key=lambda settings: -rate(settings, job.few))[:_KEPT]
    settings = max(good, key=lambda settings: rate(settings, job.validation))
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
    """Tune ToolPicker's weights and neighbours, with the samples as its intent examples."""
    peer = import_module("toolpicker")

    class Table:
        dimensions = 384

        def embed(self, texts: list[str]) -> list[list[float]]:
            return job.embed(texts)

    schemas = [{"name": a["name"], "description": a["described"]} for a in job.agents]
    examples = [
        peer.IntentExample(query=sample, tool_id=a["name"])
        for a in job.agents
        for sample in a["samples"]
    ]
    best: tuple[float, Any, dict[str, Any]] = (-1.0, None, {})
    for neighbours in (1, 3, 5, 15):
        intent = peer.EmbeddingNNIntent(examples=examples, embedder=Table(), neighbours=neighbours)
        for bm25, semantic in ((1.0, 1.0), (0.3, 1.0), (0.3, 0.3), (0.0, 0.3)):
            picker = peer.ToolPicker(
                peer.FunctionSchemaSource(schemas),
                embedder=Table(),
                intent_classifier=intent,
                bm25_weight=bm25,
                semantic_weight=semantic,
            )
            # Its cosines are plain Python.
            picks = [next((t.id for t in picker.select(x, k=3)), None) for x, _ in job.few]
            rate = rated(picks, job.few)
            if rate > best[0]:
                weights = {"bm25": bm25, "semantic": semantic, "neighbours": neighbours}
                best = (rate, picker, weights)
    _, picker, settings = best
    return lambda text: ([tool.id for tool in picker.select(text, k=3)], 0.0), settings


def llama_index(job: Job) -> tuple[Ranker, dict[str, Any]]:
    """Retrieve texts of agents from LlamaIndex's vector index, the best text of an agent counts."""
    core = import_module("llama_index.core")
    embeddings = import_module("llama_index.core.embeddings")
    schema = import_module("llama_index.core.schema")

    class Table(embeddings.BaseEmbedding):
        def _get_text_embedding(self, text: str) -> list[float]:
            return job.embed([text])[0]

        _get_query_embedding = _get_text_embedding

        async def _aget_query_embedding(self, query: str) -> list[float]:
            return self._get_text_embedding(query)

    nodes = [
        schema.TextNode(text=text, embedding=job.embed([text])[0], metadata={"agent": name})
        for name, text in job.texts()
    ]
    index = core.VectorStoreIndex(nodes, embed_model=Table(), show_progress=False)

    def best(scores: dict[str, list[float]]) -> list[str]:
        return sorted(scores, key=lambda name: -max(scores[name]))

    def voted(scores: dict[str, list[float]]) -> list[str]:
        return sorted(scores, key=lambda name: -sum(scores[name]))

    def ranker(top_k: int, order: Callable[[dict[str, list[float]]], list[str]]) -> Ranker:
        retriever = index.as_retriever(similarity_top_k=top_k)

        def rank(text: str) -> Ranked:
            found = retriever.retrieve(text)
            scores: dict[str, list[float]] = {}
            for hit in found:
                scores.setdefault(hit.node.metadata["agent"], []).append(float(hit.score or 0.0))
            return order(scores)[:3], float(found[0].score or 0.0) if found else 0.0

        return rank

    ways = {
        (top_k, name): ranker(top_k, order)
        for top_k in _TOP_K
        for name, order in (("best text of an agent", best), ("sum over its texts", voted))
    }
    rates = {
        name: rated([(way(x)[0] or [None])[0] for x, _ in job.validation], job.validation)
        for name, way in ways.items()
    }
    chosen = max(rates, key=lambda name: rates[name])
    return ways[chosen], {"similarity_top_k": chosen[0], "agents by": chosen[1]}


def bigtool(job: Job) -> tuple[Ranker, dict[str, Any]]:
    """Retrieve with langgraph-bigtool's default tool from LangGraph's in-memory store."""
    memory = import_module("langgraph.store.memory")
    tools = import_module("langgraph_bigtool.tools")
    fields = ["described", "samples[*]"]
    settings: Any = {"embed": job.embed, "dims": 384, "fields": fields}
    store = memory.InMemoryStore(index=settings)
    for agent in job.agents:
        store.put(("tools",), agent["name"], agent)
    retrieve, _ = tools.get_default_retrieval_tool(("tools",), limit=3)
    return lambda text: (retrieve(text, store=store), 0.0), {"fields": fields}


def tfidf(job: Job) -> tuple[Ranker, dict[str, Any]]:
    """Tune scikit-learn's TF-IDF and logistic regression over the agents' texts.

    First words or characters and their n-grams, then the regularisation.
    """
    text = import_module("sklearn.feature_extraction.text")
    linear = import_module("sklearn.linear_model")
    pipeline = import_module("sklearn.pipeline")
    owners, texts = zip(*job.texts(), strict=True)

    def fitted(analyser: str, ngrams: tuple[int, int], c: float) -> tuple[float, Any]:
        model = pipeline.make_pipeline(
            text.TfidfVectorizer(ngram_range=ngrams, analyzer=analyser, sublinear_tf=True),
            linear.LogisticRegression(C=c, tol=_TOLERANCE, max_iter=1000),
        ).fit(texts, owners)
        return rated(list(model.predict([x for x, _ in job.validation])), job.validation), model

    read = (("word", (1, 1)), ("word", (1, 2)), ("char_wb", (2, 4)), ("char_wb", (2, 6)))
    analyser, ngrams = max(read, key=lambda way: fitted(*way, _MIDDLE_C)[0])
    models = {c: fitted(analyser, ngrams, c) for c in _C}
    best = max(models, key=lambda c: models[c][0])
    settings = {"C": best, "ngrams": ngrams, "analyzer": analyser}
    return _probabilities(models[best][1], lambda x: [x]), settings


def minilm(job: Job) -> tuple[Ranker, dict[str, Any]]:
    """Tune scikit-learn's logistic regression over the embedder's vectors."""
    linear = import_module("sklearn.linear_model")
    owners, texts = zip(*job.texts(), strict=True)
    vectors = np.array(job.embed(texts))
    best: tuple[float, Any, dict[str, Any]] = (-1.0, None, {})
    for c in _C if len(job.agents) < _MANY else _FEW_C:
        model = linear.LogisticRegression(C=c, tol=_TOLERANCE, max_iter=1000).fit(vectors, owners)
        said = list(model.predict(np.array(job.embed([x for x, _ in job.validation]))))
        rate = rated(said, job.validation)
        if rate > best[0]:
            best = (rate, model, {"C": c})
    return _probabilities(best[1], lambda x: np.array(job.embed([x]))), best[2]


def _probabilities(model: Any, read: Callable[[str], Any]) -> Ranker:
    def rank(text: str) -> Ranked:
        probabilities = model.predict_proba(read(text))[0]
        order = np.argsort(-probabilities, kind="stable")[:3]
        return [str(model.classes_[i]) for i in order], float(probabilities[order[0]])

    return rank


def agent_squad_prompt(job: Job) -> tuple[Ranker, dict[str, Any]]:
    """Return agent-squad's own classifier prompt over the agents; the caller asks an LM."""
    module = import_module("agent_squad.classifiers.classifier")

    class Prompt(module.Classifier):
        async def process_request(self, *arguments: Any) -> Any:
            raise NotImplementedError

    template = Prompt().prompt_template
    listed = "\n\n".join(f"{a['name']}:{a['description']}" for a in job.agents)
    filled = template.replace("{{AGENT_DESCRIPTIONS}}", listed).replace("{{HISTORY}}", "")
    return lambda text: ([], 0.0), {"prompt": filled, "agents": [a["name"] for a in job.agents]}


PEERS: dict[str, tuple[str, Callable[[Job], tuple[Ranker, dict[str, Any]]]]] = {
    "semantic-router": ("semantic-router", semantic_router),
    "toolpicker": ("toolpicker", toolpicker),
    "llama-index": ("llama-index-core", llama_index),
    "langgraph-bigtool": ("langgraph-bigtool", bigtool),
    "tfidf-logistic": ("scikit-learn", tfidf),
    "minilm-logistic": ("scikit-learn", minilm),
    "agent-squad": ("agent-squad", agent_squad_prompt),
}


def main() -> None:
    """Tune a peer, answer every request, write rankings, confidences and milliseconds."""
    name, folder = sys.argv[1], Path(sys.argv[2])
    job = Job(folder)
    started = perf_counter()
    distribution, make = PEERS[name]
    ranker, settings = make(job)
    tuned = perf_counter() - started
    answers, spent = [], []
    for text in job.requests:
        begun = perf_counter()
        names, sure = ranker(text)
        spent.append((perf_counter() - begun) * 1000)
        answers.append({"names": names, "confidence": sure})
    content = {
        "version": f"{distribution} {version(distribution)}",
        "settings": settings,
        "tuning_seconds": tuned,
        "p50_ms": float(np.median(spent)) if spent else 0.0,
        "answers": answers,
    }
    (folder / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")


if __name__ == "__main__":
    main()
