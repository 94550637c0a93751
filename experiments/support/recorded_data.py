"""The parts of data sets whose requests a large LM answered once, as data sets.

``python -m experiments --recorded-data NAME OUT`` writes one as a folder, for ``python -m optimize
evaluate --data OUT --lm recorded:FOLDER`` and the like. The train split is whole: nobody recorded
answers to it. Tasks for several agents and in other languages are left out.
"""

import json
import shutil
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from experiments.support.public_data import ROOT, load_public
from optimize.data import OURS, SPLITS, Dataset, Request, load_dataset
from optimize.recorded import Belief, fold, read_folder
from task_delegator.errors import InputError
from task_delegator.registry import FILE

ANSWERS = ROOT / "lm_answers"
_OURS = "ours"
_RECORDED = ("validation", "test")


def recorded(name: str, answers: Path = ANSWERS) -> Dataset:
    """Return a data set whose validation and test splits hold the recorded requests alone.

    Args:
        name: ``ours``, or a public data set's name; that of its file of answers.
        answers: the folder of recorded answers.

    Raises:
        InputError: data or answers are missing, or do not belong together.
    """
    dataset = load_dataset(OURS) if name == _OURS else load_public(name)
    return restrict(dataset, answers, name)


def restrict(dataset: Dataset, answers: Path, file: str) -> Dataset:
    """Return a data set without the validation and test requests that a file does not answer.

    Raises:
        InputError: the file names an agent, or a task of these splits, that the data set has not.
    """
    (found,) = read_folder(answers, file)
    where = f"{answers / file}.jsonl"
    strangers = sorted(set(found.agents.values()) - {agent.name for agent in dataset.registry})
    if strangers:
        raise InputError(f"{where}: no agent of {dataset.path} is named {strangers[0]!r}")
    splits, outside = dict(dataset.splits), dict(dataset.out_of_scope)
    for split in _RECORDED:
        beliefs = {task: b for task, b in found.beliefs.items() if b.split == split}
        splits[split] = tuple(r for r in splits[split] if fold(r.text) in beliefs)
        outside[split] = tuple(text for text in outside[split] if fold(text) in beliefs)
        _check_all_found(beliefs, [*(r.text for r in splits[split]), *outside[split]], where)
    none: dict[str, tuple[Request, ...]] = dict.fromkeys(SPLITS, ())
    return replace(dataset, splits=splits, out_of_scope=outside, multi=none, other_languages=none)


def write(dataset: Dataset, out: Path) -> None:
    """Write a data set's registry and requests as a folder, which must not be there.

    Raises:
        InputError: the folder is there, or cannot be made.
    """
    try:
        out.mkdir(parents=True)
    except OSError as error:
        raise InputError(f"{out}: cannot be made: {error.strerror}; name another folder") from error
    for name in ("agents.json", FILE):
        if (dataset.path / name).is_file():
            shutil.copyfile(dataset.path / name, out / name)
    for split, name in SPLITS.items():
        (out / name).write_text(json.dumps([_row(r) for r in dataset.splits[split]], indent=1))
    outside = [
        {"user_request": text, "split": split}
        for split, texts in dataset.out_of_scope.items()
        for text in texts
    ]
    (out / "out_of_scope.json").write_text(json.dumps(outside, indent=1))


def _row(request: Request) -> dict[str, Any]:
    return {
        "expected_agent_name": request.expected,
        "user_requests": [request.text],
        "acceptable_agent_names": list(request.acceptable[1:]),
    }


def _check_all_found(beliefs: dict[str, Belief], texts: Iterable[str], where: str) -> None:
    lost = set(beliefs) - {fold(text) for text in texts}
    if lost:
        raise InputError(
            f"{where}: {len(lost)} recorded tasks are no requests of their split, e.g. "
            f"{min(lost)[:60]!r}"
        )
