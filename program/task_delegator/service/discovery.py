"""Search in the shape of ARD (Agentic Resource Discovery, draft 0.9): ``POST /search``."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field

from ..registry import Agent, catalog_entry, readable
from ..settings import MAX_TASK_CHARACTERS

MEDIA_TYPE = "application/vnd.task-delegator.agent+json"


class Query(BaseModel):
    """What is looked for."""

    model_config = ConfigDict(extra="forbid", strict=True)

    text: Annotated[
        str,
        Field(
            min_length=1,
            max_length=MAX_TASK_CHARACTERS,
            pattern=r"\S",
            examples=["refund a customer"],
        ),
    ]


class SearchRequest(BaseModel):
    """A search; other registries are not asked, whatever ``federation`` says."""

    model_config = ConfigDict(extra="forbid", strict=True)

    query: Query
    federation: Literal["auto", "referrals", "none"] = "auto"
    pageSize: Annotated[int, Field(ge=1, le=100, strict=False)] = 10  # noqa: N815  # ARD's name


class Entry(BaseModel):
    """An agent as an entry of a catalog, with its relevance."""

    identifier: str
    displayName: str  # noqa: N815  # ARD's name
    type: str
    description: str | None = None
    tags: list[str] | None = None
    representativeQueries: list[str] | None = None  # noqa: N815  # ARD's name
    data: dict[str, Any]
    score: Annotated[int, Field(ge=0, le=100, description="Relevance; it says nothing of trust.")]
    source: str


class SearchResponse(BaseModel):
    """The agents that fit best, best first."""

    results: list[Entry]


def entries(found: Sequence[tuple[Agent, float]], source: str) -> list[Entry]:
    """Return agents with their probabilities as entries of a catalog, in the same order."""
    return [_entry(agent, round(100 * probability), source) for agent, probability in found]


def _entry(agent: Agent, score: int, source: str) -> Entry:
    identifier = f"urn:air:{source}:agent:{quote(agent.name, safe='')}"
    held = {"name": agent.name, "kind": agent.kind, "domain": agent.domain}
    said = catalog_entry(agent, identifier, MEDIA_TYPE, held)
    shown = {"displayName": readable(agent.name), "score": score, "source": source}
    return Entry.model_validate(said | shown)
