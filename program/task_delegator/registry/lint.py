"""Lint a registry: findings that will hurt delegation."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
)

from ..text import AgentMentions, fold, overlap, overlapping, words
from .rules import seems_to_guard

if TYPE_CHECKING:
    from .agents import Agent


class Finding(BaseModel):
    """A weakness of a registry that ``lint`` found."""

    model_config = ConfigDict(frozen=True)

    rule: Literal[
        "near-duplicate",
        "no-description",
        "thin-description",
        "no-samples",
        "no-permission",
        "unread-field",
        "leak",
        "shared-sample",
        "names-hidden",
    ]
    agents: tuple[str, ...] = Field(description="the agents concerned")
    detail: str


_FEWEST_WORDS = 3  # that a description adds to the name, where nothing else is said
_NEAR_DUPLICATE = 0.8  # word overlap of description and samples
# Names of others' fields by what they hold here.
_MEANT = {
    **dict.fromkeys(
        ("examples", "example_requests", "example_queries", "queries", "requests", "samples",
         "sample_requests", "training_phrases", "use_cases", "utterances"),
        "user_request_samples",
    ),
    **dict.fromkeys(("desc", "purpose", "role", "summary"), "description"),
}  # fmt: skip
_LEAK = 0.7  # word overlap of a sample and a labeled request


def find_problems(
    agents: Sequence["Agent"], requests: Iterable[tuple[str, str]] = ()
) -> list[Finding]:
    """Return what will hurt delegation.

    Args:
        agents: in the order of the findings.
        requests: labeled requests as (agent name, text), checked against samples.
    """
    return [
        *_gaps(agents),
        *_look_alikes(agents),
        *_names_of_hidden(agents),
        *_no_permissions(agents),
        *_unread(agents),
        *_leaks(agents, requests),
    ]


def _gaps(agents: Sequence["Agent"]) -> Iterator[Finding]:
    silent = [agent for agent in agents if not agent.description.strip()]
    if silent:
        bare = sum(not _says_something(agent) for agent in silent)
        detail = "no description: say what the agent is for"
        if bare:
            detail += f"; of {bare} of them only the name can match a task"
        yield Finding(
            rule="no-description", agents=tuple(agent.name for agent in silent), detail=detail
        )
    thin = [agent.name for agent in agents if _says_little(agent)]
    if thin:
        detail = "the description says hardly more than the name: say what the agent is for"
        yield Finding(rule="thin-description", agents=tuple(thin), detail=detail)
    without = [agent.name for agent in agents if not agent.user_request_samples]
    if without and len(without) < len(agents):
        yield Finding(
            rule="no-samples",
            agents=tuple(without),
            detail=f"{len(without)} of {len(agents)} agents have no samples: "
            "only their descriptions can match",
        )


def _says_little(agent: "Agent") -> bool:
    """Tell whether a description adds nothing to the name, or hardly a word where it is alone."""
    said = words(agent.description)
    if not said:
        return False  # there is none
    added = said - words(agent.name)
    alone = not (agent.user_request_samples or agent.use_when or agent.instructions or agent.tools)
    return len(added) < (_FEWEST_WORDS if alone else 1)


def _says_something(agent: "Agent") -> bool:
    """Tell whether an agent without a description says what a task may match all the same."""
    texts = (agent.use_when, agent.instructions, *agent.user_request_samples)
    return bool(agent.tools) or any(text.strip() for text in texts)


def _look_alikes(agents: Sequence["Agent"]) -> Iterator[Finding]:
    texts = [words(" ".join((a.description, *a.user_request_samples))) for a in agents]
    pairs = list(overlapping(texts, _NEAR_DUPLICATE))
    for group, shares in _groups(pairs, len(texts)):
        least, most = f"{min(shares):.0%}", f"{max(shares):.0%}"
        said = least if least == most else f"{least} to {most}"
        share = "they share" if len(group) == 2 else "each shares with another"
        detail = f"{share} {said} of the words: describe how they differ"
        names = tuple(agents[number].name for number in group)
        yield Finding(rule="near-duplicate", agents=names, detail=detail)
    owners: dict[str, list[str]] = {}
    for agent in agents:
        for sample in agent.user_request_samples:
            owners.setdefault(fold(sample), []).append(agent.name)
    for sample, names in sorted(owners.items()):
        if len(set(names)) > 1:
            yield Finding(rule="shared-sample", agents=tuple(sorted(set(names))), detail=sample)


def _groups(
    pairs: Sequence[tuple[int, int, float]], count: int
) -> Iterator[tuple[list[int], list[float]]]:
    """Yield what hangs together by pairs, in order, with the shares of its pairs.

    Args:
        pairs: two numbers below ``count``, and their share.
        count: of all that there are.
    """
    if not pairs:
        return
    from scipy.sparse import coo_array  # here: a registry is read without it
    from scipy.sparse.csgraph import connected_components

    left, right, _ = zip(*pairs, strict=True)
    linked = coo_array(([1] * len(pairs), (left, right)), shape=(count, count))
    label = connected_components(linked, directed=False)[1].tolist()
    groups: dict[int, tuple[set[int], list[float]]] = {}
    for one, other, share in sorted(pairs):
        members, shares = groups.setdefault(label[one], (set(), []))
        members |= {one, other}
        shares.append(share)
    for members, shares in groups.values():
        yield sorted(members), shares


def _names_of_hidden(agents: Sequence["Agent"]) -> Iterator[Finding]:
    """Find texts that name an agent which some of their readers may not use."""
    guarded = {a.name: a.required_permissions for a in agents if a.required_permissions}
    mentions = AgentMentions(guarded)
    for agent in agents:
        said = (agent.description, agent.use_when, agent.do_not_use_when, *map(str, agent.tools))
        text = "\n".join((*said, agent.instructions, *agent.user_request_samples))
        for name in sorted(mentions.strip_from(text)[1]):
            if name != agent.name and not guarded[name] <= agent.required_permissions:
                detail = (
                    f"the texts of {agent.name!r} name {name!r}, which needs further permissions: "
                    "whoever may use the first reads the name"
                )
                yield Finding(rule="names-hidden", agents=(agent.name, name), detail=detail)


def _no_permissions(agents: Sequence["Agent"]) -> Iterator[Finding]:
    """Find fields of the registry's own that seem to limit who may use an agent, and do not."""
    owners: dict[str, list[str]] = {}
    for agent in agents:
        for field, value in (agent.model_extra or {}).items():
            fields = {field: value}
            if isinstance(value, Mapping):  # "access": {"groups": [...]}
                fields |= {f"{field}.{key}": held for key, held in value.items()}
            for name, held in fields.items():
                if held not in (None, False, "", [], {}) and seems_to_guard(name):
                    owners.setdefault(name, []).append(agent.name)
    for field, names in sorted(owners.items()):
        detail = (
            f"the field {field!r} is kept and limits nobody: "
            "name what a caller needs in required_permissions"
        )
        yield Finding(rule="no-permission", agents=tuple(names), detail=detail)


def _unread(agents: Sequence["Agent"]) -> Iterator[Finding]:
    """Find fields of the registry's own whose names say that they were meant to be read."""
    owners: dict[tuple[str, str], list[str]] = {}
    for agent in agents:
        for field in agent.model_extra or {}:
            meant = _MEANT.get(field.casefold().replace("-", "_"))
            if meant is not None and not getattr(agent, meant):
                owners.setdefault((field, meant), []).append(agent.name)
    for (field, meant), names in sorted(owners.items()):
        detail = f"the field {field!r} is kept and not read: is it what {meant} is for? Rename it"
        yield Finding(rule="unread-field", agents=tuple(names), detail=detail)


def _leaks(agents: Sequence["Agent"], requests: Iterable[tuple[str, str]]) -> Iterator[Finding]:
    samples = [(agent.name, s, words(s)) for agent in agents for s in agent.user_request_samples]
    for label, request in requests:
        asked = words(request)
        for name, sample, said in samples:
            if overlap(asked, said) >= _LEAK:
                detail = f"labeled request {request!r} repeats the sample {sample!r}"
                yield Finding(rule="leak", agents=tuple(sorted({name, label})), detail=detail)
