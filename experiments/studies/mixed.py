"""Do agents without samples lose to others?

Registries of 8, 20 and 60 agents are drawn as in ``transfer``, from the sets that have samples,
three of each agent. Then the samples of some agents are taken away: of every second one, or
of one alone, whom some of the test requests are for. The same requests are asked where no agent has
samples, and where all have. The shipped program decides with ``calibrate="transfer"`` and without
an LM; what it assigns where some agents have samples is stated as in ``transfer``.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

from experiments.support.drawn_registries import COLUMNS, Drawn, draw, total
from experiments.support.format import markdown, percent
from experiments.support.sets import load_set
from task_delegator.artifact import load
from task_delegator.delegator import Delegator
from task_delegator.registry import Agent, Registry

_SETS = ("ours", "banking77", "clinc150", "hwu64")
_SIZES, _SAMPLES, _DRAWS = (8, 20, 60), 3, 12
_WITHOUT = "every second agent", "one agent"


def run(quick: bool) -> list[dict[str, Any]]:
    """Return a row per set, size and who has no samples; quick: validation requests of ours."""
    rows = []
    for name in _SETS[:1] if quick else _SETS:
        dataset = load_set(name)
        split = "validation" if quick else "test"
        far = dataset.out_of_scope[split] or load_set("ours").out_of_scope[split]
        for size in _SIZES[:1] if quick else _SIZES:
            drawn = list(draw(dataset, split, size, _SAMPLES, far, _DRAWS))
            for without in _WITHOUT:
                found = _total([_asked(one, _bare(one, without)) for one in drawn])
                rows.append({"data": name, "agents": size, "without": without} | found)
    return rows


def _bare(drawn: Drawn, without: str) -> set[str]:
    """Return the names of the agents whose samples are taken away."""
    if without == _WITHOUT[0]:
        return {agent.name for agent in drawn.agents[::2]}
    return {drawn.inside[0].expected}


def _asked(drawn: Drawn, bare: Collection[str]) -> dict[str, Any]:
    """Return what is decided, and whose requests find their agent where nobody has samples, too."""
    mixed = _program(drawn.agents, bare)
    said = [mixed(text) for text in drawn.texts]
    ranked = {
        "nobody": _first(_program(drawn.agents, {agent.name for agent in drawn.agents}), drawn),
        "some": [one.top3[0].name for one in said[: len(drawn.inside)]],
        "all": _first(_program(drawn.agents, ()), drawn),
    }
    found: dict[str, int] = {}
    for group, inside in (("bare", True), ("sampled", False)):
        places = [i for i, r in enumerate(drawn.inside) if (r.expected in bare) is inside]
        found[f"{group}_n"] = len(places)
        for who, names in ranked.items():
            right = [names[i] in drawn.inside[i].acceptable for i in places]
            found[f"{group}_{who}"] = sum(right)
    return drawn.count(said) | {"found": found}


def _program(agents: Sequence[Agent], bare: Collection[str]) -> Delegator:
    given = (
        agent.model_copy(update={"user_request_samples": ()}) if agent.name in bare else agent
        for agent in agents
    )
    return load("default", Registry(given), calibrate="transfer")


def _first(program: Delegator, drawn: Drawn) -> list[str]:
    return [program(request.text).top3[0].name for request in drawn.inside]


def _total(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    found = {name: sum(row["found"][name] for row in rows) for name in rows[0]["found"]}
    return total(rows) | {"found": found}


def _pooled(rows: Sequence[dict[str, Any]], by: str) -> Iterator[dict[str, Any]]:
    """Yield the sums of the rows that are alike in who has no samples, and in one thing more."""
    for kind in dict.fromkeys((row["without"], row[by]) for row in rows):
        yield _total([row for row in rows if (row["without"], row[by]) == kind])


def _share(group: str, who: str) -> Callable[[dict[str, Any]], str]:
    """Return a column: of whose requests how many find their agent, where who has samples."""
    return lambda row: percent(row["found"][f"{group}_{who}"] / row["found"][f"{group}_n"])


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Return top-1 by who has samples, and what is assigned where some have, by size and by set."""
    columns: dict[str, Callable[[dict[str, Any]], Any]] = {
        "requests for these": lambda r: r["found"]["bare_n"],
        "top-1": _share("bare", "some"),
        "if nobody had samples": _share("bare", "nobody"),
        "if all had": _share("bare", "all"),
        "requests for others": lambda r: r["found"]["sampled_n"],
        "top-1 of others": _share("sampled", "some"),
        "others, if nobody had samples": _share("sampled", "nobody"),
        "others, if all had": _share("sampled", "all"),
        **{name: COLUMNS[name] for name in list(COLUMNS)[2:]},
    }
    shown = []
    for by, title in (("agents", "Every set together"), ("data", "Every size together")):
        kind = {"without samples": lambda r: r["without"], by: lambda r, by=by: r[by]}
        shown.append(f"{title}:\n\n{markdown([*_pooled(rows, by)], kind | columns)}")
    return "\n\n".join(shown)


def answer(rows: Sequence[dict[str, Any]]) -> str:
    """Return top-1 of agents without samples beside others, and where nobody has any."""
    whole = _total([row for row in rows if row["without"] == _WITHOUT[0]])
    some, nobody = (_share("bare", who)(whole) for who in ("some", "nobody"))
    return f"Of the half without {some} top-1, {nobody} where nobody has samples"
