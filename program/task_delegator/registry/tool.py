"""A tool of an agent, as its name or as the object that describes it."""

import re
from typing import Annotated, Any

from pydantic import ConfigDict, Discriminator, RootModel, Tag, model_validator


class Tool(RootModel[dict[str, Any]]):
    """A tool that is described by an object. The object is kept and written back unchanged.

    Three shapes are read:

    - an object with ``name`` and ``description``: MCP ``tools/list``, OpenAI's Responses API,
      Anthropic, agent marketplaces;
    - such an object inside ``function``: OpenAI's Chat Completions API;
    - an object with a ``type`` only: hosted tools of OpenAI.

    ``str(tool)`` is its name and the first sentence of its description. Retrieval reads that.
    """

    model_config = ConfigDict(frozen=True)

    @model_validator(mode="after")
    def _has_a_name(self) -> "Tool":
        if not self.name.strip():
            raise ValueError("has no name")
        return self

    @property
    def name(self) -> str:
        """The tool's name."""
        return _text(self._described, "name") or _text(self.root, "type")

    @property
    def description(self) -> str:
        """The tool's description; empty if it has none."""
        return _text(self._described, "description")

    @property
    def _described(self) -> dict[str, Any]:
        function = self.root.get("function")
        return function if isinstance(function, dict) else self.root

    def __str__(self) -> str:
        """Return the name and the first sentence of the description."""
        sentence = re.split(r"(?<=[.!?])\s|\n", self.description.strip(), maxsplit=1)[0]
        return ": ".join(filter(None, (self.name, sentence.rstrip(". "))))

    def __hash__(self) -> int:
        """Return the hash of the name; the object itself cannot be hashed."""
        return hash(self.name)


def _text(values: dict[str, Any], key: str) -> str:
    value = values.get(key)
    return value if isinstance(value, str) else ""


# Discriminated, so that an error names the fault of the tool and not those of both types.
ToolOrName = Annotated[
    Annotated[str, Tag("name")] | Annotated[Tool, Tag("object")],
    Discriminator(lambda tool: "name" if isinstance(tool, str) else "object"),
]
