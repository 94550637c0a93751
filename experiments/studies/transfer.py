"""What is assigned in registries that the program was not calibrated for?

The shipped program as it is, with ``calibrate="transfer"`` and without an LM. Its confidence for
such registries was fitted on written ones (``datasets/registries.jsonl``); none of the sets here
took part. From each set, registries of 3, 8, 20 and 60 agents are drawn, a dozen of each size,
without samples and with three samples an agent; of clinc150 some of 140 agents, too, and of copilot
of 140 and 600, which is more than it was fitted on. Each is asked at most 15 test requests for its
agents, eight for agents of the set that were not drawn (*near*), and eight that nobody serves
(*far*: those of clinc150 there, else ours). The precision of everything that is assigned is stated
where a fifth of the requests is for nobody, half of them near.
"""

from collections.abc import Sequence
from typing import Any

from experiments.support.drawn_registries import (
    COLUMNS,
    assigned_share,
    by_size,
    draw,
    precision,
    total,
)
from experiments.support.format import markdown, percent
from experiments.support.sets import SETS, load_set
from task_delegator.artifact import load
from task_delegator.registry import Registry

_SIZES, _SAMPLES, _DRAWS = (3, 8, 20, 60), (0, 3), 12
_LARGER = {"clinc150": (140,), "copilot": (140, 600)}


def run(quick: bool) -> list[dict[str, Any]]:
    """Return a row per set, size and number of samples; quick: validation requests of ours."""
    rows = []
    for name in ("ours",) if quick else SETS:
        dataset = load_set(name, every_card=True)
        split = "validation" if quick else "test"
        far = dataset.out_of_scope[split] or load_set("ours").out_of_scope[split]
        for samples in _SAMPLES:
            if name in ("seal_tools", "copilot") and samples:
                continue  # they have none
            for size in _SIZES[:2] if quick else (*_SIZES, *_LARGER.get(name, ())):
                found = []
                for drawn in draw(dataset, split, size, samples, far, _DRAWS):
                    program = load("default", Registry(drawn.agents), calibrate="transfer")
                    found.append(drawn.count([program(text) for text in drawn.texts]))
                rows.append({"data": name, "agents": size, "samples": samples} | total(found))
    return rows


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Return what is assigned, and how much of it is right, by size and by set."""
    names = dict.fromkeys(row["data"] for row in rows)
    by_set = [total(r for r in rows if r["data"] == name) for name in names]
    shown = markdown(by_set, {"data": lambda r: r["data"]} | COLUMNS)
    return f"Every set together:\n\n{by_size(rows)}\n\nEvery size together:\n\n{shown}"


def answer(rows: Sequence[dict[str, Any]]) -> str:
    """Return the share that is assigned, and the precision, over all."""
    whole = total(rows)
    return f"{percent(assigned_share(whole))} of the tasks; {precision(whole)} right"
