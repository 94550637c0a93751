"""What this package uses of DSPy beyond its stable surface: still there, and meaning the same."""

import json
from typing import Any, get_args

import dspy
import pytest
from dspy.utils.callback import BaseCallback
from recorded import recorded_lm
from small import ROOT
from wire import Provider

from task_delegator import _compat
from task_delegator.signatures import NONE_SLOT, SLOTS, SlotChoice

USERS = [
    path for folder in ("program", "optimize") for path in sorted((ROOT / folder).rglob("*.py"))
]


@pytest.mark.parametrize("name", _compat.__all__)
def test_every_name_is_there(name):
    assert getattr(_compat, name) is not None


@pytest.mark.parametrize(
    "surface",
    [
        "dspy.lm15",
        "dspy.experimental",
        "ACTIVE_CALL_ID",
        "._compiled",
        "backend_selection",
        "_async_engine_spec",
    ],
)
def test_nobody_else_uses_these_surfaces(surface):
    users = {
        path.name
        for path in USERS
        for line in path.read_text(encoding="utf-8").splitlines()
        if surface in line
        and "_compat" not in line
        and not line.strip().startswith(("parent=", "#"))
    }
    assert users == {"_compat.py"}


def test_a_choice_has_a_value_and_a_probability_for_each_option():
    assert get_args(SlotChoice.model_fields["value"].annotation) == (*SLOTS, NONE_SLOT)
    probabilities = dict.fromkeys((*SLOTS, NONE_SLOT), 0.05)
    said = {"value": "B", "confidence": 0.05, "probabilities": probabilities}
    assert SlotChoice.model_validate(said).probabilities == probabilities


def test_the_client_of_a_decision_model_is_told_by_its_flag():
    client = _compat.TypeSafe(base_url="http://localhost", cache=False)
    assert client.supports_decision_requests is True
    assert client.api_key is None


def test_a_registered_provider_serves_under_its_name():
    with Provider() as provider:
        access = _compat.AccessPolicy(provider="compat-test", base_url=provider.url)
        _compat.register_provider(
            _compat.ProviderDefinition.chat(access, compat=_compat.OpenAIChatCompat()),
            supports=_compat.ModelSupport(response_schema=True, function_calling=False),
            replace=True,
        )
        lm = dspy.LM("compat-test/x", api_key="k", cache=False, logprobs=True, top_logprobs=3)
        answer: Any = lm("which?")[0]
    assert json.loads(answer["text"]) == {"slot": "B"}
    assert answer["logprobs"]["content"][1]["top_logprobs"][0]["token"] == "A"
    assert provider.requests[0]["top_logprobs"] == 3


def test_a_model_string_is_checked_without_the_network(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    router = _compat.LMRouter(_compat.RouterConfig())
    with pytest.raises(_compat.UnknownModelError):
        router.lm("nobody-at-all:model")
    with pytest.raises(_compat.LM15Error, match="OPENAI_API_KEY"):
        router.lm("openai:gpt-4o-mini")


def test_a_call_knows_the_call_that_it_was_made_in():
    seen = []

    class Recorder(BaseCallback):
        def on_module_start(self, call_id, instance, inputs):
            seen.append((call_id, _compat.ACTIVE_CALL_ID.get()))

        def on_lm_start(self, call_id, instance, inputs):
            seen.append((call_id, _compat.ACTIVE_CALL_ID.get()))

    lm, _ = recorded_lm(lambda prompt: '{"b": "x"}')
    with dspy.context(lm=lm, adapter=dspy.JSONAdapter(), callbacks=[Recorder()]):
        dspy.Predict("a -> b")(a="y")
    (module, outermost), (_, parent) = seen
    assert (outermost, parent) == (None, module)


def test_a_compiled_mark_hides_a_predictor_until_it_is_cleared():
    class Outer(dspy.Module):
        def __init__(self):
            super().__init__()
            self.inner = dspy.ChainOfThought("a -> b")

    outer = Outer()
    outer.inner._compiled = True
    assert outer.dump_state() == {}
    _compat.clear_compiled(outer.inner)
    assert "inner.predict" in outer.dump_state()


def test_an_lm_tells_which_client_it_takes_and_whether_that_can_be_awaited(monkeypatch):
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    lm = dspy.LM("openai/gpt-4o-mini", api_key="none")
    assert not _compat.uses_litellm(lm)
    assert _compat.uses_litellm(lm.copy(engine="litellm"))
    assert _compat.has_async_engine(lm)
    recorded, engine = recorded_lm(lambda prompt: "")
    assert not _compat.uses_litellm(recorded)
    assert not _compat.has_async_engine(recorded)

    class Awaited:
        async def complete(self, request):
            return engine.complete(request)

    assert _compat.has_async_engine(recorded.copy(async_engine=Awaited()))
