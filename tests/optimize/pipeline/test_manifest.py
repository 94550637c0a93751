"""What a run is called in lists."""

import pytest

from optimize.pipeline.manifest import run_name


@pytest.mark.parametrize(
    ("lm", "shown"),
    [
        ("none", "no LM"),
        ("openai/gpt-4.1-mini", "gpt-4.1-mini"),
        ("openrouter/openai/gpt-5.1", "gpt-5.1"),
        (
            "task-delegator-embedded/SmolLM2-135M-Instruct.Q4_1-b179c952-ce249d71",
            "SmolLM2-135M-Instruct",
        ),
    ],
)
def test_a_run_is_named_by_what_a_person_calls_its_parts(lm, shown):
    tags = {"data": "work/tickets", "lm": lm, "embedder": "minilm", "optimizer": "none"}
    assert run_name(tags) == f"tickets, {shown}, minilm"
    assert run_name(tags | {"optimizer": "gepa"}) == f"tickets, {shown}, minilm, gepa"
