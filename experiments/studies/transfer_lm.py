"""What does a large LM bring in registries that the program was not calibrated for?

As ``transfer``, with ``calibrate="transfer"`` and a recorded large LM, which is taken at its word
about what would not be assigned without it: nothing is fitted to its answers. How much its word
counts beside retrieval was chosen on validation requests of the first four sets. Their answers
were recorded with all agents of a set shown, samples too, and what it gave to agents that were not
drawn counts for none: that flatters, as does that ours was written by its family and that it may
have seen the public sets in training. Of the written registries (``datasets/lm_answers``) it saw
no samples, and a quarter of the agents that are asked for was not shown at all; the confidence
without it was fitted on registries of these, which flatters that alone. ``self``: the program
calibrated on its agents' samples asks it, too.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import dspy

from experiments.support.drawn_registries import COLUMNS, Drawn, assigned_share, draw, total
from experiments.support.format import markdown, percent
from experiments.support.recorded_data import ANSWERS, restrict
from experiments.support.sets import load_set
from optimize.data import OURS, Request, read_registries
from optimize.recorded import language_model, read_folder
from task_delegator.artifact import load
from task_delegator.registry import Registry

_SETS = ("ours", "banking77", "clinc150", "hwu64")
_WRITTEN, _WRITTEN_ANSWERS = "written", OURS / "lm_answers"
_SIZES, _SAMPLES, _DRAWS = (8, 20, 60), (0, 3), 12
_SELF = {20, 60}  # agents that have samples enough


def run(quick: bool) -> list[dict[str, Any]]:
    """Return a row per set, size, samples and way; quick: validation requests of ours."""
    rows = []
    for name in _SETS[:1] if quick else _SETS:
        dataset = restrict(load_set(name), ANSWERS, name)
        split = "validation" if quick else "test"
        lm = language_model(f"recorded:{ANSWERS}?file={name}")
        for samples in _SAMPLES:
            for size in _SIZES[:1] if quick else _SIZES:
                far = dataset.out_of_scope[split]
                drawn = list(draw(dataset, split, size, samples, far, _DRAWS))
                found = {"data": name, "agents": size, "samples": samples}
                ways = ("transfer", "self") if samples and size in _SELF else ("transfer",)
                rows += [found | _measured(drawn, way, lm) for way in ways]
    if not quick:
        lm = language_model(f"recorded:{_WRITTEN_ANSWERS}?file=registries")
        found = {"data": _WRITTEN, "agents": 18, "samples": 0}
        rows.append(found | _measured(list(_written()), "transfer", lm))
    return rows


def _measured(drawn: Sequence[Drawn], way: Any, lm: dspy.LM) -> dict[str, Any]:
    """Return what a program does with the LM, and without it, in registries that were drawn."""
    alone, heard = [], []
    for registry in drawn:
        program = load("default", Registry(registry.agents), calibrate=way)
        with dspy.context(lm=None):
            before = program.delegate_many(registry.texts)
        with dspy.context(lm=lm):
            after = program.delegate_many(registry.texts)
        alone.append(registry.count(before))
        heard.append(registry.count(after))
    return {"way": way, "alone": total(alone), **total(heard)}


def _written() -> Iterator[Drawn]:
    """Yield the written registries that the LM was asked about, with what was recorded."""
    written = [one for agents in read_registries().values() for one in agents]
    owners = {text: one for one in written for text in one.requests}
    (answers,) = read_folder(_WRITTEN_ANSWERS, "registries")
    groups: dict[frozenset[str], list[str]] = {}
    for belief in answers.beliefs.values():
        groups.setdefault(belief.shortlist or frozenset(), []).append(belief.task)
    for shown, tasks in groups.items():
        here = {owners[text].registry for text in tasks if owners[text].agent.name in shown}
        agents = [one.agent for one in written if one.registry in here and one.agent.name in shown]
        bare = [agent.model_copy(update={"user_request_samples": ()}) for agent in agents]
        own = {agent.name for agent in agents}
        inside = [
            Request(text, (owners[text].agent.name,))
            for text in tasks
            if owners[text].registry in here and owners[text].agent.name in own
        ]
        asked = {request.text for request in inside}
        rest = [text for text in tasks if text not in asked]
        near = [text for text in rest if owners[text].registry in here]
        yield Drawn(bare, inside, near, [text for text in rest if text not in near])


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Return what is assigned with the LM and without it, by set, size and way."""
    by_set = [_whole([r for r in rows if r["data"] == name and r["way"] == "transfer"])
              for name in dict.fromkeys(row["data"] for row in rows)]  # fmt: skip
    by_self = [r for r in rows if r["way"] == "self"]
    shown = [f"Every size together:\n\n{_shown(by_set)}", f"By size:\n\n{by_size(rows)}"]
    if by_self:
        shown.append(f"Calibrated on samples (`self`):\n\n{by_size(rows, 'self')}")
    return "\n\n".join(shown)


def by_size(rows: Sequence[dict[str, Any]], way: str = "transfer") -> str:
    """Return the same by size, over the sets whose registries are drawn."""
    some = [row for row in rows if row["way"] == way and row["data"] != _WRITTEN]
    kinds = sorted({(row["agents"], row["samples"]) for row in some})
    pooled = [_whole([r for r in some if (r["agents"], r["samples"]) == kind]) for kind in kinds]
    kind = {"agents": lambda r: r["agents"], "samples each": lambda r: r["samples"]}
    return markdown(pooled, kind | _COLUMNS)


def answer(rows: Sequence[dict[str, Any]]) -> str:
    """Return what is assigned with it and without, over all drawn registries."""
    found = whole(rows)
    return (
        f"Assigned {percent(assigned_share(found['alone']))} to {percent(assigned_share(found))}, "
        f"top-1 {COLUMNS['top-1'](found['alone'])} to {COLUMNS['top-1'](found)}"
    )


def whole(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the rows of every drawn registry that ``transfer`` decides about as one."""
    return _whole([r for r in rows if r["way"] == "transfer" and r["data"] != _WRITTEN])


def _whole(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return total(rows) | {"alone": total(row["alone"] for row in rows)}


def _shown(rows: Sequence[dict[str, Any]]) -> str:
    return markdown(rows, {"data": lambda r: r["data"]} | _COLUMNS)


def _outside(row: dict[str, Any], what: str) -> float:
    kinds = ("near", "far")
    return sum(row[f"{kind}_{what}"] for kind in kinds) / sum(row[kind] for kind in kinds)


_COLUMNS = {
    "n": COLUMNS["n"],
    "asked": lambda r: percent(r["asked"] / r["counts"]["n_in"]),
    "for nobody: asked": lambda r: percent(_outside(r, "asked")),
    "top-1: without": lambda r: COLUMNS["top-1"](r["alone"]),
    "with": COLUMNS["top-1"],
    "assigned: without": lambda r: percent(assigned_share(r["alone"])),
    "with it": lambda r: percent(assigned_share(r)),
    "right of all that is assigned [95% CI]: without": lambda r: COLUMNS[
        "right of all that is assigned [95% CI]"
    ](r["alone"]),
    "with the LM": COLUMNS["right of all that is assigned [95% CI]"],
    "for nobody: told `none`": lambda r: percent(_outside(r, "none")),
    "in scope: told `none`": lambda r: percent(r["in_none"] / r["counts"]["n_in"]),
}
