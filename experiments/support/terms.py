"""Map names in stored result files to the terms of the documents."""

_CHANNELS = {
    "bm25": "BM25",
    "chars": "character n-grams",
    "description": "description embedding",
    "sample_best": "closest-sample embedding",
    "sample_mean": "mean-sample embedding",
    "head": "linear head",
    "late": "MaxSim",
    "maxsim": "MaxSim",
    "back": "reverse MaxSim",
    "maxsim_reverse": "reverse MaxSim",
    "late and back": "both MaxSim channels",
    "both directions of maxsim": "both MaxSim channels",
}
_TERMS = {
    "datasets": "ours",
    "qwen2.5-coder-1.5b-instruct-q4_k_m": "Qwen2.5-Coder-1.5B",
    "lean": "default channels",
    "every channel": "all channels",
    "fixed weights (the uncompiled program)": "default channels, fixed weights",
    "every channel, weights all alike": "all channels, equal weights",
    "reciprocal rank fusion of every channel": "all channels, reciprocal rank fusion",
    "without late": "without MaxSim",
    "description and samples alone": "description and sample similarity only",
    "the posterior alone": "posterior log-odds only",
    "samples withheld": "no samples",
    "samples for all": "five samples each",
    "agents completed": "enriched agents",
    "random draws": "random subsets",
    "own family first": "whole domains",
    "ours alone": "full registry",
    "all distractors": "with look-alikes",
    "look-alikes left out": "without look-alikes",
    "compiled": "frozen weights",
    "compiled, weights fitted again": "refitted weights",
    "compiled, minilm": "frozen weights, minilm",
    "compiled, weights fitted again, minilm": "refitted weights, minilm",
    "agree": "channel agreement",
    "agreement": "channel agreement",
    "near": "runner-up similarity",
    "similarity": "runner-up similarity",
    "logit": "posterior log-odds",
    "margin": "posterior margin",
    "retrieval margin": "posterior margin",
    "retrieval posterior": "posterior (uncalibrated)",
    "two phrasings retrieved beside the task": "query expansion, two phrasings",
    "ideal agent retrieved beside the task": "HyDE",
    "all agents": "all agents in the prompt",
    "all agents, shuffled": "all agents, shuffled",
    "shortlist": "shortlist of five",
    "shortlist and samples": "shortlist of five, with samples",
    "this program, agents completed": "this program, enriched agents",
    "minilm-logistic": "logistic regression, same embeddings",
    "tfidf-logistic": "logistic regression, TF-IDF",
    "never split": "no decomposition",
    "lexical": "lexical splitter",
}


def term(stored: str) -> str:
    """Return the field's term for a value of a result file, or the value itself."""
    if stored in _TERMS:
        return _TERMS[stored]
    for whole in ("lean", "every channel"):
        if stored.startswith(f"{whole} without "):
            left_out = stored.removeprefix(f"{whole} without ")
            return f"{_TERMS[whole]} without {_CHANNELS[left_out]}"
    if " + " in stored:
        return " + ".join(map(term, stored.split(" + ")))
    return stored
