"""Knobs of the stages: retrieval, expansion, the LM."""

from typing import Annotated, Literal

from pydantic import Field

from ..signatures import SLOTS
from .group import ChannelWeight, KnobGroup, Probability

MOST_SHOWN = len(SLOTS)  # agents on a shortlist: an LM has no slot for more
MOST_PASSAGES = 16  # of an agent, some 10,000 characters


class RetrievalKnobs(KnobGroup):
    """Channels, index and posterior (found by ``optimize search``).

    Attributes:
        k: agents on the shortlist, 2 to 19 (the LM's slots).
        bm25, chars, description, sample_best, sample_mean, head, maxsim, maxsim_reverse:
            weights of the channels.
        bm25_k1, bm25_b: BM25's saturation and length normalization.
        head_c: inverse regularization of the linear head.
        passages: passages of instructions and tools that are read of an agent at most; 0 none.
        passages_beside_samples: whether agents that have samples are read so too.
        temperature: of the posterior over agents; smaller is surer.
        rerank: weight of the reranker's score in the log-posterior; with 0 none is needed.
        reranked: best agents that it reads.
        rerank_below: it reads tasks whose first place has a posterior below this; None all.
    """

    k: Annotated[int, Field(ge=2, le=MOST_SHOWN)] = 8
    bm25: ChannelWeight = 0.25
    chars: ChannelWeight = 0.3
    description: ChannelWeight = 0.1
    sample_best: ChannelWeight = 0.1
    sample_mean: ChannelWeight = 0.0
    head: ChannelWeight = 0.75
    maxsim: ChannelWeight = 0.75
    maxsim_reverse: ChannelWeight = 0.5
    bm25_k1: Annotated[float, Field(gt=0, le=100)] = 1.5
    bm25_b: Probability = 0.75
    head_c: Annotated[float, Field(ge=1e-4, le=1e6)] = 10.0
    passages: Annotated[int, Field(ge=0, le=MOST_PASSAGES)] = 4
    passages_beside_samples: bool = False
    temperature: Annotated[float, Field(ge=1e-3, le=1e3)] = 1.0
    rerank: ChannelWeight = 0.0
    reranked: Annotated[int, Field(ge=2, le=64)] = 10
    rerank_below: Probability | None = None

    def weight(self, channel: str) -> float:
        """Return the weight of a channel."""
        return getattr(self, channel)


class ExpansionKnobs(KnobGroup):
    """Query expansion, for tasks that the gate lets through.

    Attributes:
        phrasings: further phrasings that the LM writes, 0 to 5.
        hyde: whether the LM also describes the ideal agent (HyDE, Gao et al., 2023).
        weight: of the expansions beside the task, 0 to 1.
    """

    phrasings: Annotated[int, Field(ge=0, le=5)] = 0
    hyde: bool = False
    weight: Probability = 0.3


class LMKnobs(KnobGroup):
    """When the LM is asked, and what its answer counts for (found by ``optimize compile``).

    Attributes:
        gate: the LM is asked where the certainty of retrieval's decision is below this and
            nothing settles it; None never. The one knob that trades LM calls for quality.
        ask_settled: ask about every task, also where the answer cannot change the decision;
            for fitting.
        shortlist: agents that the LM is shown, 2 to 19.
        card: what it sees of each: ``brief`` (a line), ``standard`` (description, use, three
            samples) or ``full`` (instructions, tools, every sample).
        prompt_tokens: estimated tokens that the shortlist may take; what does not fit is left
            out from the end.
        answer: ``slot`` (log-probabilities, or ``repeats``) or ``ranking`` (the three best with
            probabilities in one structured answer, for LMs without log-probabilities).
        explain: have the LM add a rating from 1 to 5 and a reason to that answer, for reviewers.
        weight: of the LM's log-probabilities beside retrieval's.
        orders: shortlist orders shown to the LM at most, 1 or 2 (reversed): two cancel the
            LM's preference for a place.
        second_order_margin: the second order is asked where the logarithm of first over second
            place is below this after the first answer; None always.
        prior: power of the LM's content-free slot prior that is divided out, 0 to 1.
        repeats: answers asked of an LM without log-probabilities, 0 to 20; 0 has it write a
            distribution instead.
        rubric_low, rubric_high: the rubric is asked at confidences from low to below high.
    """

    gate: Probability | None = None
    ask_settled: bool = False
    shortlist: Annotated[int, Field(ge=2, le=MOST_SHOWN)] = 12
    card: Literal["brief", "standard", "full"] = "standard"
    prompt_tokens: Annotated[int, Field(ge=200, le=1_000_000)] = 6000
    answer: Literal["slot", "ranking"] = "slot"
    explain: bool = False
    weight: ChannelWeight = 0.0
    orders: Annotated[int, Field(ge=1, le=2)] = 2
    second_order_margin: Annotated[float | None, Field(ge=0)] = None
    prior: Probability = 0.0
    repeats: Annotated[int, Field(ge=0, le=20)] = 3
    rubric_low: Probability = 0.0
    rubric_high: Probability = 0.0
