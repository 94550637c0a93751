"""Texts of an agent that are embedded, searched and shown."""

import re

from ..text import identifier_words
from .agents import Agent
from .tool import Tool

PASSAGE_LENGTH = 600  # characters: some 150 tokens, of the 256 that MiniLM reads
_SHORTEST = 15  # characters of a piece that says something
# Where a sentence, a heading or an item of a list begins, also where line breaks were lost.
_BREAK = re.compile(r"(?<=[.!?:;])\s+|\s+#+\s+|\s+[-*]\s+|\n+")


def readable(name: str) -> str:
    """Return a name as it is shown: an identifier as words, unless it may be a name of its own.

    ``getUser`` is ``get User`` and ``get_user`` is ``get user``; ``GitHub`` and ``iPhone`` stay.
    """
    return identifier_words(name) if name[:2].islower() else name.replace("_", " ")


def searched_name(name: str) -> str:
    """Return a name as it is embedded and searched: with its words apart, and as it is shown.

    An encoder and a search for words see nothing of ``RefundDesk`` that says refund.
    """
    shown, words = readable(name), identifier_words(name)
    return shown if shown == words else f"{words} ({shown})"


def description_text(agent: Agent) -> str:
    """Return what the description channel embeds: name, description, tools and use."""
    tools = ", ".join(map(str, agent.tools))
    parts = (searched_name(agent.name), agent.description, tools, agent.use_when)
    return ". ".join(part for part in parts if part)


def tool_names(agent: Agent) -> tuple[str, ...]:
    """Return the names of an agent's tools."""
    return tuple(tool if isinstance(tool, str) else tool.name for tool in agent.tools)


def texts_of(agent: Agent) -> tuple[str, ...]:
    """Return the texts of an agent that are embedded."""
    return (description_text(agent), *agent.user_request_samples)


def passages_of(agent: Agent, most: int) -> tuple[str, ...]:
    """Return the beginning of an agent's instructions and tools' descriptions, in passages.

    Args:
        agent: the agent.
        most: how many passages at most; what follows is not read.
    """
    told = [tool.description for tool in agent.tools if isinstance(tool, Tool)]
    return cut_passages("\n".join(filter(str.strip, (agent.instructions, *told))), most)


def cut_passages(text: str, most: int) -> tuple[str, ...]:
    """Cut a text into passages of whole sentences.

    A passage has ``PASSAGE_LENGTH`` characters at most, so that a longer sentence is cut. Only
    as much of the text is looked at as can be kept: time does not grow with what is left out.

    Args:
        text: the text.
        most: how many passages at most.
    """
    passages: list[str] = []
    for piece in _pieces(text[: 2 * most * PASSAGE_LENGTH]):
        joined = f"{passages[-1]} {piece}" if passages else piece
        if passages and len(joined) <= PASSAGE_LENGTH:
            passages[-1] = joined
        else:
            passages.append(piece)
    return tuple(passages[:most])


def _pieces(text: str) -> list[str]:
    """Return the sentences of a text, none longer than a passage."""
    sentences = [part.lstrip("#-* ").strip() for part in _BREAK.split(text)]
    return [
        sentence[start : start + PASSAGE_LENGTH]
        for sentence in sentences
        if len(sentence) >= _SHORTEST
        for start in range(0, len(sentence), PASSAGE_LENGTH)
    ]
