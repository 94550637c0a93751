"""The classification reads the answers of the providers, as they stand on the wire."""

import dspy
import provider_shapes as shapes
import pytest
from wire import Provider

from task_delegator.knobs import LMKnobs
from task_delegator.lm.specs import with_logprobs
from task_delegator.stages.cards import Shortlist
from task_delegator.stages.classify import ClassifyAgent

pytestmark = pytest.mark.slow  # each waits for a server


@pytest.mark.parametrize("engine", ["lm15", "litellm"])
@pytest.mark.parametrize(
    ("spec", "answers", "source"),
    [
        ("openai/gpt-4o-mini", (shapes.OPENAI, shapes.OPENAI), "logprobs"),
        ("hosted_vllm/Qwen/Qwen3-4B", (shapes.VLLM, shapes.VLLM), "logprobs"),
        (
            "anthropic/claude-haiku-4-5",
            (shapes.ANTHROPIC, shapes.ANTHROPIC),
            "answer",
        ),
        (
            "ollama_chat/llama3.2",
            (shapes.OLLAMA_CHAT_COMPLETIONS, shapes.OLLAMA_API_CHAT),
            "answer",
        ),
    ],
)
def test_a_belief_is_read_from_each_provider_with_each_client(
    office, spec, answers, source, engine
):
    whole = answers[engine == "litellm"]
    values = LMKnobs(orders=1, repeats=1)
    with Provider(whole=shapes.wire(whole)) as provider:
        base = provider.address if engine == "litellm" or "anthropic" in spec else provider.url
        lm = dspy.LM(spec, engine=engine, api_base=base, api_key="key-of-the-test", cache=False)
        lm = with_logprobs(lm.copy(num_retries=0))
        with dspy.context(lm=lm):
            answer = ClassifyAgent()(
                task="refund my money", shortlist=Shortlist(tuple(office)[:3]), knobs=values
            )
    [given] = answer.answers
    assert (given.source, given.picked) == (source, "Invoices")
    if source == "logprobs":
        assert given.none == pytest.approx(0.05)
        assert dict(given.probabilities) == pytest.approx(
            {"Refunds": 0.1, "Invoices": 0.7, "Payroll": 0.15}
        )
    # LiteLLM may ask Ollama about the model too.
    assert sum("messages" in request for request in provider.requests) == 1
