"""Is the fine-tuned embedded LM worth asking, on registries it was trained on and on others?

Each registry's program is compiled without an LM; the LM then sees its shortlist of five, in
retrieval's order and turned round. Given that the right agent is on it: how often is the LM's pick
right, and does turning change it? And over all requests, where the LM is asked about the quarter
that retrieval is least sure of: what does its word add, with gate and weight chosen on validation?
*Transferred* means that neither agents nor requests of the registry
were trained on, though a few of its validation requests chose the state that was exported;
*adapted* that its train split was trained on (Seal-Tools has none: its validation was, and it is
left out). Beside the adapter that ships, those in ``runs/folds``
(``make folds``) are asked: each registry has an adapter that was kept from it. The best agent
counts as the LM's pick, however likely it finds that none fits. Answers are kept in
``answers/finetuned``: a run that was interrupted asks only what is missing.

``ms_per_call`` is measured on ours, the raw LM and each adapter in turn, without the prefix cache.
"""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import dspy
import numpy as np

from experiments.studies.public import public
from experiments.support.llm_answers import FOLDER
from experiments.support.lm_pooling import PLACES, ask, places, weight_of
from optimize import metrics
from optimize.answers import Answers
from optimize.compile import Options, compile_program
from optimize.data import OURS, Dataset, Request, load_dataset
from optimize.evaluate import Outcome, delegate_all, outcomes_right, select
from optimize.picks import Picks, picks
from optimize.teach import opened
from task_delegator.agents import read_json
from task_delegator.delegator import Delegator
from task_delegator.errors import InputError
from task_delegator.lm import language_model
from task_delegator.weights import ADAPTER, MANIFEST, RAW, SHIPPED

FOLDS = Path("runs/folds")
_TRIALS = 40
_SETS = ("banking77", "clinc150", "hwu64", "seal_tools")
_ASKED = 40  # test requests that every LM is asked about, two calls each
_COMPILED = 500  # requests of a split that a program is compiled on
_HEARD = 300  # test requests over which the LM's word is judged
_UNSURE = 0.25  # of those: about so many are asked about, two calls each
_FITTED_ON = 30  # unsure validation requests that give the LM's weight
_TIMED = 6  # prompts
_KEPT = FOLDER / "finetuned"
_MOST_CALLS = 10_000


def run(quick: bool) -> list[dict[str, Any]]:
    """Return rows per registry and LM, and the adapters' courses.

    Quick: ours, the raw LM, 3 validation requests.

    Raises:
        InputError: a full run, and there are no adapters of other folds.
    """
    if not quick and len(_adapters()) < 2:
        raise InputError(f"{FOLDS}: no adapters of other folds; run make folds")
    names = ("ours", *(() if quick else _SETS))
    return [*(row for name in names for row in registry(name, quick)), *learning()]


def registry(name: str, quick: bool) -> Iterator[dict[str, Any]]:
    """Yield one row per LM that is asked about a registry."""
    dataset = load_dataset(OURS) if name == "ours" else public(name)
    fewer = {split: tuple(select(r, _COMPILED, seed=0)) for split, r in dataset.splits.items()}
    smaller = replace(dataset, splits=fewer).without_plans()
    with tempfile.TemporaryDirectory() as out:
        options = Options(out=Path(out) / "program", preset="full", trials=5 if quick else _TRIALS)
        program = compile_program(smaller, options, lm=None).program
        kept = Path(out) if quick else _KEPT
        kept.mkdir(parents=True, exist_ok=True)
        split = "validation" if quick else "test"
        requests = select(dataset.splits[split], 3 if quick else _ASKED, seed=0)
        before: dict[str, bool] = {}
        for label, seen, spec in _lms(dataset, quick):
            lm = language_model(spec)
            facts = {"data": name, "lm": label, "seen": seen, "split": split}
            facts["model"] = lm.model.rpartition("/")[2]
            with Answers(kept / f"{name}-{label}.jsonl", _MOST_CALLS) as answers:
                outcomes, tokens = ask(program, requests, lm, answers)
                if seen == "raw":
                    listed = _listed(outcomes)
                    both = map(bool, _picks(listed).both)
                    before = dict(zip((o.request.text for o in listed), both, strict=True))
                cost = _milliseconds(spec, program, requests) if name == "ours" else {}
                yield {"part": "accuracy"} | facts | _row(outcomes, tokens, before) | cost
                if seen == "transferred" or quick:
                    known = fewer["validation"]
                    about = known[:12] if quick else select(fewer["test"], _HEARD, seed=0)
                    fitted_on = 3 if quick else _FITTED_ON
                    heard = _heard(program, known, about, lm, answers, fitted_on)
                    yield {"part": "heard"} | facts | heard


def learning() -> Iterator[dict[str, Any]]:
    """Yield how each adapter came to read the shortlists of registries kept from it."""
    for label, folder in _adapters():
        manifest = read_json(folder / MANIFEST)
        for passed in manifest["course"]:
            facts = {key: passed[key] for key in ("examples", "minutes", "loss")}
            for data, held in passed["held_out"].items():
                name = "ours" if data == OURS.name else data
                known = {"part": "learning", "data": name, "lm": label, "split": "validation"}
                yield known | facts | held


def _lms(dataset: Dataset, quick: bool) -> Iterator[tuple[str, str, str]]:
    """Yield label, what was seen of the registry, and spec; the raw LM first."""
    yield "raw", "raw", "embedded:raw"
    if quick:
        return
    for label, folder in _adapters():
        trained = dataset.path.name in read_json(folder / MANIFEST)["train"]
        if not trained or dataset.splits["train"]:
            yield label, "adapted" if trained else "transferred", f"embedded:{folder / ADAPTER}"


def _adapters() -> list[tuple[str, Path]]:
    return [("ships", SHIPPED), *((f.name, f) for f in sorted(FOLDS.glob("*/")))]


def _milliseconds(spec: str, program: Delegator, requests: Sequence[Request]) -> dict[str, float]:
    """Return the mean milliseconds of a call, and of the raw LM's, asked in turn."""
    spent: dict[str, list[float]] = {spec: [], f"embedded:{RAW}": []}
    student = opened(program, orders=1, lm=0.0, k=PLACES, prior=0.0, repeats=1)
    for request in requests[:_TIMED]:
        for each in spent:
            lm = language_model(each, threads=1, prompt_cache=False)
            with dspy.context(lm=lm):
                spent[each].append(student(request.text).usage.seconds * 1000)
    ours, raw = (float(np.mean(times[1:])) for times in (spent[spec], spent[f"embedded:{RAW}"]))
    return {"ms_per_call": ours, "ms_per_call_raw": raw}


def _row(outcomes: Sequence[Outcome], tokens: int, before: Mapping[str, bool]) -> dict[str, Any]:
    listed = _listed(outcomes)
    if not listed:
        raise InputError("finetuned: no request's agent is on its shortlist")
    found = _picks(listed)
    shared = np.array([o.request.text in before for o in listed])
    raw = np.array([before[o.request.text] for o in listed if o.request.text in before])
    return {
        "n": len(outcomes),
        "listed": len(listed),
        "retrieval_first": float(found.retrieval.mean()),
        **_share("in_order", found.order),
        **_share("reversed", found.reversed),
        **_share("both", found.both),
        "both_versus_retrieval": asdict(metrics.compare(found.both, found.retrieval)),
        "both_versus_raw": asdict(metrics.compare(found.both[shared], raw)),
        **_share("flips", found.flips),
        "tokens_per_task": tokens / len(outcomes),
    }


def _heard(
    program: Delegator,
    validation: Sequence[Request],
    requests: Sequence[Request],
    lm: dspy.BaseLM,
    answers: Answers,
    fitted_on: int,
) -> dict[str, Any]:
    """Return retrieval's accuracy on requests, and that with the LM's word on what is unsure."""
    with dspy.context(lm=None):
        known = delegate_all(program, validation, "find unsure requests")
        outcomes = delegate_all(program, requests, "find unsure requests")
    gate = float(np.quantile([o.delegation.confidence for o in known], _UNSURE))
    fitting = [o.request for o in known if o.delegation.confidence < gate]
    fitting = select(fitting, fitted_on, seed=0)
    weight = weight_of(ask(program, fitting, lm, answers)[0])
    unsure = np.array([o.delegation.confidence < gate for o in outcomes])
    about = [o.request for o, asked in zip(outcomes, unsure, strict=True) if asked]
    heard, tokens = ask(program, about, lm, answers)
    before = outcomes_right(outcomes)
    after = before.copy()
    after[unsure] = places(heard, weight) == 1
    return {
        "n": len(outcomes),
        "asked": len(about),
        "fitted_on": len(fitting),
        "weight": weight,
        "calls_per_task": 2 * len(about) / len(outcomes),
        "tokens_per_task": tokens / len(outcomes),
        "asked_right_before": float(before[unsure].mean()),
        "asked_right_after": float(after[unsure].mean()),
        **_share("retrieval", before),
        **_share("with_lm", after),
        "with_lm_versus_retrieval": asdict(metrics.compare(after, before)),
    }


def _share(name: str, right: np.ndarray) -> dict[str, Any]:
    return {name: float(right.mean()), f"{name}_ci95": metrics.wilson(int(right.sum()), len(right))}


def _listed(outcomes: Sequence[Outcome]) -> list[Outcome]:
    return [o for o in outcomes if set(_orders(o)[0]) & set(o.request.acceptable)]


def _picks(listed: Sequence[Outcome]) -> Picks:
    """Return what the LM picked in retrieval's order and turned round."""
    forth, back = zip(*map(_orders, listed), strict=True)
    rights = [
        {place for place, name in enumerate(order) if name in outcome.request.acceptable}
        for outcome, order in zip(listed, forth, strict=True)
    ]
    nones = [outcome.delegation.evidence["lm"]["none"] for outcome in listed]
    beliefs = [
        [np.array([*order.values(), none[turn]]) for order, none in zip(shown, nones, strict=True)]
        for turn, shown in enumerate((forth, back))
    ]
    return picks(rights, *beliefs)


def _orders(outcome: Outcome) -> list[dict[str, float]]:
    """Return the LM's belief by name, in the order in which it saw the agents, per order."""
    return outcome.delegation.evidence["lm"]["orders"]
