"""Enrich a registry offline: an LM writes what agents lack, into a file that people review.

Documents that carry the questions they answer are found more easily (doc2query, Nogueira et
al., 2019); what a reader would not lead back to its agent is dropped (Doc2Query--, Gospodinov
et al., 2023).
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import dspy
import numpy as np
from tqdm import tqdm

from optimize.data import NEAR_COPY, Dataset
from optimize.evaluation import Outcome, delegate_all
from optimize.provenance import commit
from task_delegator.delegator import Delegator
from task_delegator.errors import InputError
from task_delegator.registry import Addition, Agent, Enrichment, read_enrichment
from task_delegator.retrieval import Index
from task_delegator.signatures import EnrichAgent
from task_delegator.stages import agent_line, ask
from task_delegator.system import one_at_a_time, write_text
from task_delegator.text import one_line, overlap, words

_RIVALS = 3  # agents that the prompt contrasts the agent with
_MAX_RANK = 3  # lowest rank of the agent at which its written request is kept
_MAX_TOKENS = 900  # of an answer


@dataclass
class Dropped:
    """Written requests that were not kept, by reason."""

    unreadable: int = 0
    duplicate: int = 0
    leak: int = 0
    elsewhere: int = 0


class WriteSamples(dspy.Module):
    """Ask the LM to complete one agent."""

    def __init__(self) -> None:
        super().__init__()
        self.write = dspy.Predict(EnrichAgent)
        self._adapter = dspy.JSONAdapter()

    def forward(self, agent: Agent, rivals: Sequence[Agent], number: int) -> dspy.Prediction:
        """Return ``addition``, None where the answer could not be read.

        Raises:
            LMError: the LM cannot be reached or refuses.
        """
        parts = [agent.name, agent.description, agent.instructions, *agent.user_request_samples]
        answer = ask(
            self.write,
            self._adapter,
            agent=" - ".join(one_line(part) for part in parts if part),
            rivals="\n".join(agent_line(rival) for rival in rivals),
            number=number,
            config={"max_tokens": _MAX_TOKENS},
        )
        if answer is None:
            return dspy.Prediction(addition=None)
        return dspy.Prediction(
            addition=Addition(
                user_request_samples=tuple(answer.requests[:number]),
                use_when=answer.use_when,
                do_not_use_when=answer.do_not_use_when,
            )
        )


def enrich_dataset(
    program: Delegator,
    dataset: Dataset,
    lm: dspy.BaseLM,
    out: Path,
    *,
    number: int,
    limit: int | None = None,
) -> tuple[Enrichment, Dropped]:
    """Write additions for the agents of a dataset into a file, one LM call an agent.

    The file is written after every agent; a second run goes on where the first ended.

    Args:
        program: its confusions on validation choose the rivals; its registry must be the dataset's.
        dataset: its validation split says which pairs are confused.
        lm: writes.
        out: the enrichment file.
        number: of requests per agent.
        limit: of agents to write for, in this run.

    Raises:
        InputError: the file belongs to another registry, or another process is writing it.
        LMError: the LM cannot be reached.
    """
    busy = f"{out}: another process is writing it; wait for it, or name another file with --out"
    out.parent.mkdir(parents=True, exist_ok=True)
    with one_at_a_time(out.with_name(f".{out.name}.lock"), busy):
        return _enrich(program, dataset, lm, out, number, limit)


def _enrich(
    program: Delegator,
    dataset: Dataset,
    lm: dspy.BaseLM,
    out: Path,
    number: int,
    limit: int | None,
) -> tuple[Enrichment, Dropped]:
    digest = dataset.sha256("agents.json")
    written = read_enrichment(out) if out.is_file() else Enrichment(agents={})
    if written.provenance.get("agents_sha256", digest) != digest:
        raise InputError(f"{out}: belongs to another registry; name another file with --out")
    agents = {agent.name: agent for agent in dataset.registry}
    rivals = find_rivals(program, dataset)
    labeled_words = [words(r.text) for split in dataset.splits.values() for r in split]
    dropped = Dropped(**written.provenance.get("dropped", {}))
    additions = dict(written.agents)
    pending = [name for name in sorted(agents) if name not in additions][:limit]
    index = program.retrieve.library.index({})
    writer = WriteSamples()
    for name in tqdm(pending, desc="enrich", unit="agent"):
        with dspy.context(lm=lm, disable_history=True):
            others = [agents[rival] for rival in rivals[name]]
            addition = writer(agent=agents[name], rivals=others, number=number).addition
        if addition is None:
            dropped.unreadable += 1
            addition = Addition()
        samples = addition.user_request_samples
        kept = filter_requests(samples, agents[name], index, labeled_words, dropped)
        additions[name] = addition.model_copy(update={"user_request_samples": kept})
        provenance = {
            "writer": str(lm.model),
            "commit": commit(),
            "date": datetime.now(UTC).date().isoformat(),
            "agents_sha256": digest,
            "number": number,
            "dropped": asdict(dropped),
        }
        written = Enrichment(provenance=provenance, agents=additions)
        text = json.dumps(written.model_dump(mode="json"), indent=1, ensure_ascii=False)
        write_text(out, text + "\n")
    return written, dropped


def find_rivals(program: Delegator, dataset: Dataset) -> Mapping[str, list[str]]:
    """Return each agent's rivals: those it is confused with on validation, then the nearest."""
    with dspy.context(lm=None):
        outcomes = delegate_all(program, dataset.splits["validation"], "find confused pairs")
    index = program.retrieve.library.index({})
    confused = count_confusions(outcomes)
    rivals = {}
    for i, name in enumerate(index.names):
        near = sorted(range(len(index.names)), key=lambda j: -index.closeness(i, j))
        ranked = [other for other, _ in confused.get(name, Counter()).most_common()]
        ranked += [index.names[j] for j in near if j != i]
        rivals[name] = list(dict.fromkeys(ranked))[:_RIVALS]
    return rivals


def count_confusions(outcomes: Sequence[Outcome]) -> dict[str, Counter[str]]:
    """Return with which agents each agent was confused, in both directions."""
    pairs: dict[str, Counter[str]] = {}
    for outcome in outcomes:
        if not outcome.correct and outcome.ranking:
            expected, given = outcome.request.expected, outcome.ranking[0]
            pairs.setdefault(expected, Counter())[given] += 1
            pairs.setdefault(given, Counter())[expected] += 1
    return pairs


def filter_requests(
    requests: Sequence[str],
    agent: Agent,
    index: Index,
    labeled_words: Sequence[frozenset[str]],
    dropped: Dropped,
) -> tuple[str, ...]:
    """Return the requests that are new, no labeled request, and lead back to their agent."""
    kept: list[str] = []
    sample_words = [words(sample) for sample in agent.user_request_samples]
    place = index.names.index(agent.name)
    for request in (" ".join(request.split()) for request in requests):
        request_words = words(request)
        if not request_words or any(
            overlap(request_words, other) >= NEAR_COPY for other in sample_words
        ):
            dropped.duplicate += 1
        elif _repeats(request_words, labeled_words):
            dropped.leak += 1
        elif _rank(index, request, place) > _MAX_RANK:
            dropped.elsewhere += 1
        else:
            kept.append(request)
            sample_words.append(request_words)
    return tuple(kept)


def _repeats(text: frozenset[str], others: Sequence[frozenset[str]]) -> bool:
    return any(overlap(text, other) >= NEAR_COPY for other in others)


def _rank(index: Index, request: str, place: int) -> int:
    vector = index.read(request).encoded.vector
    _, closest_sample, _ = index.samples(vector)
    scores = np.fmax(closest_sample, index.description(vector))
    return int((scores > scores[place]).sum()) + 1
