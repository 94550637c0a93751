"""Check a dataset directory: leaks, labels that contradict, counts of this project's own."""

import json
import logging
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from optimize.data.dataset import NEAR_COPY, OURS, Dataset, load_dataset
from task_delegator.errors import DelegatorError
from task_delegator.text import fold, overlap, printable, words

_log = logging.getLogger(__name__)

_MAX_NAMED = 3  # requests that may name their agent


def leaks(dataset: Dataset) -> list[str]:
    """Return one line per request that repeats a sample or another request, or nearly a sample."""
    return repeats(dataset) + list(_near_copies(dataset))


def repeats(dataset: Dataset) -> list[str]:
    """Return one line per request that is also a sample, or stands twice, out of scope or in."""
    found = []
    seen = {fold(text): where for where, text in _samples(dataset)}
    for split, requests in dataset.splits.items():
        fresh = {}
        for text in (*(request.text for request in requests), *dataset.out_of_scope.get(split, ())):
            key = fold(text)
            if key in seen:
                found.append(f"{split}: {text!r} is also a {seen[key]}")
            if key in fresh:
                found.append(f"{split}: {text!r} appears twice")
            fresh[key] = f"request of {split}"
        seen.update(fresh)
    return found


def _near_copies(dataset: Dataset) -> Iterator[str]:
    """Yield one line per request and sample that it nearly copies, unless it repeats a text."""
    said = [(where, words(text)) for where, text in _samples(dataset)]
    seen = {fold(text) for _, text in _samples(dataset)}
    for split, requests in dataset.splits.items():
        for request in requests:
            if fold(request.text) in seen:
                continue
            asked = words(request.text)
            for where, other in said:
                if overlap(asked, other) >= NEAR_COPY:
                    yield f"{split}: {request.text!r} nearly copies a {where}"
        seen |= {fold(request.text) for request in requests}


def _samples(dataset: Dataset) -> list[tuple[str, str]]:
    """Return every sample with where it stands."""
    return [(f"sample of {a.name}", s) for a in dataset.registry for s in a.user_request_samples]


def contradictions(dataset: Dataset) -> list[str]:
    """Return one line per request that stands with another label elsewhere.

    Labels agree where they share an acceptable agent, or where both are out of scope. A sample
    counts as labeled with its agent.
    """
    labels: dict[str, list[tuple[str, tuple[str, ...]]]] = {}
    for agent in dataset.registry:
        for sample in agent.user_request_samples:
            labels.setdefault(fold(sample), []).append(("among the samples", (agent.name,)))
    found = []
    for split, text, acceptable in _labeled(dataset):
        others = labels.setdefault(fold(text), [])
        for where, theirs in others:
            if theirs != acceptable and not set(theirs) & set(acceptable):
                mine, other = (names[0] if names else "nobody" for names in (acceptable, theirs))
                found.append(f"{split}: {text!r} is labeled {mine}, {where} {other}")
                break
        others.append((f"in {split}", acceptable))
    return found


def _labeled(dataset: Dataset) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Yield split, text and acceptable agents of every request, of none where out of scope."""
    for split, requests in dataset.splits.items():
        yield from ((split, request.text, request.acceptable) for request in requests)
        yield from ((split, text, ()) for text in dataset.out_of_scope.get(split, ()))


def warn_of_repeats(dataset: Dataset) -> None:
    """Warn in one line of requests that repeat a text and of labels that contradict."""
    repeated, contradicting = len(repeats(dataset)), len(contradictions(dataset))
    if repeated or contradicting:
        _log.warning(
            "%s: requests that are also a sample or stand twice: %d, with another label elsewhere: "
            "%d; scores and confidence are off; list them with python -m optimize.data check %s",
            dataset.path,
            repeated,
            contradicting,
            dataset.path,
        )


def check(dataset: Dataset, strict: bool = False) -> list[str]:
    """Return one line per problem of a dataset, none where it is sound.

    Args:
        strict: also require the counts of this project's own ground truth.
    """
    problems = leaks(dataset) + contradictions(dataset)
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
