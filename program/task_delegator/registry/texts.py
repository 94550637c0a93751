"""Texts of an agent that are embedded, searched and shown."""

from .agents import Agent


def readable(name: str) -> str:
    """Return an identifier-like name as words."""
    return name.replace("_", " ")


def description_text(agent: Agent) -> str:
    """Return what the description channel embeds: name, description, tools and use."""
    tools = ", ".join(map(str, agent.tools))
    parts = (readable(agent.name), agent.description, tools, agent.use_when)
    return ". ".join(part for part in parts if part)


def tool_names(agent: Agent) -> tuple[str, ...]:
    """Return the names of an agent's tools."""
    return tuple(tool if isinstance(tool, str) else tool.name for tool in agent.tools)


def texts_of(agent: Agent) -> tuple[str, ...]:
    """Return the texts of an agent that are embedded."""
    return (description_text(agent), *agent.user_request_samples)
