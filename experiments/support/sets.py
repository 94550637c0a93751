"""The sets that studies compare over: ours as written, public ones, cards of coding agents."""

from dataclasses import replace

from experiments.support.public_data import ROOT, load_public
from optimize.data import OURS, Dataset, load_dataset
from optimize.finetune import load_source
from task_delegator.errors import InputError
from task_delegator.registry import Registry

SETS = ("ours", "seal_tools", "banking77", "copilot", "clinc150", "hwu64")
_CARDS = 200  # agents of copilot, whose instructions take long to encode


def load_set(name: str, *, every_card: bool = False) -> Dataset:
    """Return a set: ours without what an LM completed.

    Args:
        name: of ``SETS``.
        every_card: take all 639 agents of copilot, not 200 of them.

    Raises:
        InputError: it is not there.
    """
    if name == "ours":
        return load_dataset(OURS, enriched=False)
    if name == "copilot":
        folder = ROOT / "cards" / name
        if not folder.is_dir():
            raise InputError(f"{folder}: no such data; set TASK_DELEGATOR_PUBLIC_DATA")
        cards = load_source(folder)
        return cards if every_card else _fewer(cards)
    return load_public(name)


def _fewer(dataset: Dataset) -> Dataset:
    """Return a registry of the agents that requests ask for, and the first others."""
    asked = {name for split in dataset.splits.values() for r in split for name in r.acceptable}
    others = [agent.name for agent in dataset.registry if agent.name not in asked]
    kept = asked | set(others[: _CARDS - len(asked)])
    agents = [agent for agent in dataset.registry if agent.name in kept]
    return replace(dataset, registry=Registry(agents))
