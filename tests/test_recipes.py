"""The recipes of the documents run, each where the package is installed that it is for."""

# pyright: reportMissingImports=false

import re
from functools import cache

import pytest
from small import ROOT
from wire import Provider

PAGE = (ROOT / "docs" / "recipes.md").read_text()


@cache
def first_block():
    names = {}
    exec(compile(re.findall(r"```python\n(.*?)```", PAGE, re.S)[0], "recipes.md", "exec"), names)
    return names


def completion(text):
    """Return an answer of a provider of chat completions."""
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": text},
        "finish_reason": "stop",
    }
    return {
        "id": "1",
        "object": "chat.completion",
        "created": 0,
        "model": "gpt",
        "choices": [choice],
    }


def run(title, **given):
    """Run the first block and the one below a title; return its names."""
    section = PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]
    (code,) = re.findall(r"```python\n(.*?)```", section, re.S)
    names = {"__name__": "recipe", **first_block(), **given}
    exec(compile(code, f"recipes.md, {title}", "exec"), names)
    return names


@pytest.mark.slow
def test_langgraph_goes_to_the_agent_that_was_found():
    pytest.importorskip("langgraph", reason="langgraph is not installed")
    state = run("LangGraph")["state"]
    assert state["messages"][-1].content == "travel is on it"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # what the framework itself warns of
def test_the_agents_sdk_runs_the_agent_that_was_found():
    agents = pytest.importorskip("agents", reason="openai-agents is not installed")
    from agents.items import ModelResponse
    from agents.models.interface import Model
    from agents.usage import Usage
    from openai.types.responses import ResponseOutputMessage, ResponseOutputText

    class Echo(Model):
        async def get_response(self, system_instructions, *args, **options):
            text = ResponseOutputText(text=system_instructions, type="output_text", annotations=[])
            said = ResponseOutputMessage(
                id="1", content=[text], role="assistant", status="completed", type="message"
            )
            return ModelResponse(output=[said], usage=Usage(), response_id=None)

        def stream_response(self, *args, **options):
            raise NotImplementedError

    agents.set_tracing_disabled(True)
    names = run("OpenAI Agents SDK", MODEL=Echo())
    assert names["said"] == "Pays customers back after a wrong charge."


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # what the framework itself warns of
def test_adk_runs_the_agent_that_was_found():
    pytest.importorskip("google.adk", reason="google-adk is not installed")
    from google.adk.models.base_llm import BaseLlm
    from google.adk.models.llm_response import LlmResponse
    from google.genai import types

    class Echo(BaseLlm):
        async def generate_content_async(self, llm_request, stream=False):
            said = types.Part(text="done")
            yield LlmResponse(content=types.Content(role="model", parts=[said]))

    events = run("Google ADK", MODEL=Echo(model="echo"))["events"]
    assert [event.author for event in events] == ["travel"]
    assert events[0].content.parts[0].text == "done"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # what the framework itself warns of
def test_the_agent_framework_runs_the_agent_that_was_found():
    pytest.importorskip("agent_framework", reason="agent-framework-core is not installed")
    client = pytest.importorskip(
        "agent_framework_openai", reason="agent-framework-openai is not installed"
    )
    with Provider(whole=completion("The train is booked.")) as provider:
        model = client.OpenAIChatCompletionClient("gpt", api_key="key", base_url=provider.url)
        said = run("Microsoft Agent Framework", MODEL=model)["said"]
    assert said == "The train is booked."
    assert "Books trains, flights and hotels." in str(provider.requests[0]["messages"])


@pytest.mark.slow
def test_tools_are_searched_in_the_shape_of_anthropic():
    names = run("Tool search, Anthropic")
    call = {"type": "tool_use", "id": "7", "name": "search_tools", "input": {"task": "a hotel"}}
    result = names["tool_result"](call)
    assert result["content"][0] == {"type": "tool_reference", "tool_name": "travel"}
    types = pytest.importorskip("anthropic.types", reason="anthropic is not installed")
    from pydantic import TypeAdapter

    TypeAdapter(types.ToolResultBlockParam).validate_python(result)
    for tool in names["request"]["tools"]:
        TypeAdapter(types.ToolParam).validate_python(tool)


@pytest.mark.slow
def test_tools_are_searched_in_the_shape_of_openai():
    names = run("Tool search, OpenAI")
    call = {"type": "tool_search_call", "call_id": "7", "arguments": {"task": "a hotel"}}
    output = names["tool_search_output"](call)
    assert output["tools"][0]["name"] == "travel"
    types = pytest.importorskip("openai.types.responses", reason="openai is not installed")
    if not hasattr(types, "ResponseToolSearchOutputItemParam"):
        pytest.skip("this openai knows no tool search")
    types.ResponseToolSearchOutputItemParam.model_validate(output)
