"""Check a dataset directory: leaks, agents named in requests, counts of this project's own."""

import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from optimize.data.dataset import NEAR_COPY, OURS, Dataset, load_dataset
from task_delegator.errors import DelegatorError
from task_delegator.text import fold, overlap, printable, words

_MAX_NAMED = 3  # requests that may name their agent


def leaks(dataset: Dataset) -> list[str]:
    """Return one line per request that repeats a sample or another request."""
    found = []
    samples = [(f"sample of {a.name}", s) for a in dataset.registry for s in a.user_request_samples]
    seen = {fold(text): where for where, text in samples}
    said = [(where, words(text)) for where, text in samples]
    for split, requests in dataset.splits.items():
        fresh = {}
        for request in requests:
            key = fold(request.text)
            if key in seen:
                found.append(f"{split}: {request.text!r} is also a {seen[key]}")
            asked = words(request.text)
            found.extend(
                f"{split}: {request.text!r} nearly copies a {where}"
                for where, other in said
                if key not in seen and overlap(asked, other) >= NEAR_COPY
            )
            if key in fresh:
                found.append(f"{split}: {request.text!r} appears twice")
            fresh[key] = f"request of {split}"
        seen.update(fresh)
    return found


def check(dataset: Dataset, strict: bool = False) -> list[str]:
    """Return one line per problem of a dataset, none where it is sound.

    Args:
        strict: also require the counts of this project's own ground truth.
    """
    problems = leaks(dataset)
    named = [
        f"{split}: {request.text!r} names its own agent"
        for split, requests in dataset.splits.items()
        for request in requests
        if request.expected.lower() in request.text.lower()
    ]
    if strict:
        problems += named if len(named) > _MAX_NAMED else []
        problems += _wrong_counts(dataset)
    return problems


def _wrong_counts(dataset: Dataset) -> Iterator[str]:
    agents = list(dataset.registry)
    counts = {
        "agents": (len(agents), 70),
        **{f"agents of {d}": (n, 14) for d, n in Counter(a.domain for a in agents).items()},
        **{f"samples of {a.name}": (len(a.user_request_samples), 5) for a in agents},
        "domains": (len({a.domain for a in agents}), 5),
    }
    for split, each in {"train": 3, "validation": 3, "test": 4}.items():
        asked = Counter(request.expected for request in dataset.splits[split])
        counts |= {f"{split} requests of {a.name}": (asked[a.name], each) for a in agents}
    for split, each in {"train": 50, "validation": 50, "test": 100}.items():
        counts[f"{split} requests out of scope"] = (len(dataset.out_of_scope[split]), each)
        counts[f"{split} tasks for several agents"] = (len(dataset.multi[split]), 20)
    yield from (f"{what}: {n}, expected {want}" for what, (n, want) in counts.items() if n != want)
    if sum(bool(agent.required_permissions) for agent in agents) < 6:
        yield "fewer than 6 agents need a permission"
    if sum(agent.kind == "human" for agent in agents) < 3:
        yield "fewer than 3 agents are people"


def main(arguments: list[str]) -> int:
    """Check a dataset directory and print its problems.

    Returns:
        0, 1 where there are problems, or the exit code of the error that stopped the check.
    """
    if not arguments or arguments[0] != "check" or len(arguments) > 2:
        print("usage: python -m optimize.data check [DIR]", file=sys.stderr)
        return 2
    folder = Path(arguments[1]) if len(arguments) == 2 else OURS
    try:
        dataset = load_dataset(folder)
        problems = check(dataset)
        if folder.resolve() == OURS.resolve():
            problems += check(load_dataset(folder, enriched=False), strict=True)
    except DelegatorError as error:
        print(f"optimize.data: {error}", file=sys.stderr)
        return error.exit_code
    for problem in problems:
        print(printable(problem))
    print(json.dumps({"problems": len(problems), "sha256": dataset.digests()}, indent=1))
    return 1 if problems else 0
