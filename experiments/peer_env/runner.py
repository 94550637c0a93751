"""Run one peer on one job; executed by the peers' own Python, so it imports no project code.

``python runner.py PEER FOLDER``: reads ``job.json`` and ``vectors.npz`` of the folder and
writes ``PEER.json``. The embedder of every peer is a table of vectors that the project's own
embedder made, so that all see the same ones; its time is not part of a peer's time.
"""

import itertools
import json
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from hybrids import semantic_router, toolpicker
from job import TOP_K, Job, Ranked, Ranker, rated

_C = (0.1, 1, 10, 100, 1000, 10_000)  # inverse of a logistic regression's regularization
_MIDDLE_C = 10
_TOLERANCE = 1e-6  # the loss is a mean: with thousands of agents, scikit-learn's 1e-4 ends at once
_FEW_C = (10, 1000, 10_000)  # of them, where there are thousands of agents
_MANY = 1000


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

    orders: dict[str, Callable[[list[float]], float]] = {
        "best text of an agent": max,
        "sum over its texts": sum,
    }

    def ranked(hits: Sequence[Any], order: str) -> list[str]:
        scores: dict[str, list[float]] = {}
        for hit in hits:
            scores.setdefault(hit.node.metadata["agent"], []).append(float(hit.score or 0.0))
        return sorted(scores, key=lambda name: -orders[order](scores[name]))[:3]

    # The best of fewer texts are the first of more: each request is asked once.
    widest = index.as_retriever(similarity_top_k=TOP_K[-1])
    found = [widest.retrieve(text) for text, _ in job.validation]

    def rate(top_k: int, order: str) -> float:
        first = [ranked(hits[:top_k], order)[0] if hits else None for hits in found]
        return rated(first, job.validation)

    top_k, order = max(itertools.product(TOP_K, orders), key=lambda settings: rate(*settings))
    retriever = index.as_retriever(similarity_top_k=top_k)

    def rank(text: str) -> Ranked:
        hits = retriever.retrieve(text)
        return ranked(hits, order), float(hits[0].score or 0.0) if hits else 0.0

    return rank, {"similarity_top_k": top_k, "agents by": order}


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

    First words or characters and their n-grams, then the regularization.
    """
    text = import_module("sklearn.feature_extraction.text")
    linear = import_module("sklearn.linear_model")
    pipeline = import_module("sklearn.pipeline")
    owners, texts = zip(*job.texts(), strict=True)

    def fitted(analyzer: str, ngrams: tuple[int, int], c: float) -> tuple[float, Any]:
        model = pipeline.make_pipeline(
            text.TfidfVectorizer(ngram_range=ngrams, analyzer=analyzer, sublinear_tf=True),
            linear.LogisticRegression(C=c, tol=_TOLERANCE, max_iter=1000),
        ).fit(texts, owners)
        return rated(list(model.predict([x for x, _ in job.validation])), job.validation), model

    read = (("word", (1, 1)), ("word", (1, 2)), ("char_wb", (2, 4)), ("char_wb", (2, 6)))
    analyzer, ngrams = max(read, key=lambda way: fitted(*way, _MIDDLE_C)[0])
    models = {c: fitted(analyzer, ngrams, c) for c in _C}
    best = max(models, key=lambda c: models[c][0])
    settings = {"C": best, "ngrams": ngrams, "analyzer": analyzer}
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
