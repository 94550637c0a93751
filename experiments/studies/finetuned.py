"""Does fine-tuning the embedded LM help, on registries seen and unseen in training?

Each registry's program is compiled without an LM; the LM then selects from its shortlist of five,
in retrieval's order and reversed. *Transferred*: neither agents nor requests of the registry were
trained on, though a few validation requests chose the checkpoint. *Adapted*: its train split was.
Two adapters, the shipped one and that of the other fold (``make folds``); each registry is unseen
by one of them. The most probable agent counts as the pick, even where "none" is more probable. The
gain on unseen registries: the LM is asked about test requests (at most 300) whose confidence is
below the 25th percentile of validation, two calls each; threshold and pooling weight come from
validation. ``ms_per_call`` is measured on ours, raw LM and adapter in turn, without prefix cache.
Answers are kept in ``answers/finetuned``.
"""

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import dspy
import numpy as np

from experiments.support.format import (
    difference,
    interval,
    markdown,
    percent,
    points,
    rate,
    sections,
)
from experiments.support.llm_answers import FOLDER
from experiments.support.lm_pooling import PLACES, ask, fit_lm_weight, pooled_ranks
from experiments.support.public_data import load_public
from optimize.config import Options
from optimize.data import OURS, Dataset, Request, load_dataset
from optimize.evaluation import (
    Outcome,
    delegate_all,
    delegate_measured,
    grade_outcomes,
    metrics,
    select,
)
from optimize.finetune import Picks, picks
from optimize.lm_stage import ResponseCache, opened, said_by_lm
from optimize.pipeline import compile_program
from task_delegator.delegator import Delegator
from task_delegator.errors import InputError
from task_delegator.lm import ADAPTER, MANIFEST, RAW, SHIPPED, language_model
from task_delegator.system import read_json

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

    Quick: ours, the raw LM, 2 validation requests.

    Raises:
        InputError: a full run, and there are no adapters of other folds.
    """
    if not quick and len(_adapters()) < 2:
        raise InputError(f"{FOLDS}: no adapters of other folds; run make folds")
    names = ("ours", *(() if quick else _SETS))
    return [*(row for name in names for row in registry(name, quick)), *learning()]


def registry(name: str, quick: bool) -> Iterator[dict[str, Any]]:
    """Yield one row per LM that is asked about a registry."""
    dataset = load_dataset(OURS) if name == "ours" else load_public(name)
    most = 40 if quick else _COMPILED
    splits = {split: tuple(select(r, most, seed=0)) for split, r in dataset.splits.items()}
    smaller = replace(dataset, splits=splits).without_plans()
    with tempfile.TemporaryDirectory() as out:
        options = Options(out=Path(out) / "program", preset="full", trials=3 if quick else _TRIALS)
        program = compile_program(smaller, options, lm=None).program
        kept = Path(out) if quick else _KEPT
        kept.mkdir(parents=True, exist_ok=True)
        split = "validation" if quick else "test"
        requests = select(dataset.splits[split], 2 if quick else _ASKED, seed=0)
        before: dict[str, bool] = {}
        for label, seen, spec in _lms(dataset, quick):
            lm = language_model(spec)
            facts = {"data": name, "lm": label, "seen": seen, "split": split}
            facts["model"] = lm.model.rpartition("/")[2]
            with ResponseCache(kept / f"{name}-{label}.jsonl", _MOST_CALLS) as answers:
                outcomes, tokens = ask(program, requests, lm, answers)
                if seen == "raw":
                    listed = keep_listed(outcomes)
                    both = map(bool, pick_in_both_orders(listed).both)
                    before = dict(zip((o.request.text for o in listed), both, strict=True))
                cost = _milliseconds(spec, program, requests) if name == "ours" else {}
                yield {"part": "accuracy"} | facts | selection_row(outcomes, tokens, before) | cost
                if seen == "transferred" or quick:
                    measured = select(splits[split], 4 if quick else _HEARD, seed=0)
                    gain = gain_where_uncertain(
                        _without_lm(program, splits["validation"]),
                        _without_lm(program, measured),
                        lambda some, lm=lm, answers=answers: ask(program, some, lm, answers),
                        1 if quick else _FITTED_ON,
                    )
                    yield {"part": "heard"} | facts | gain


def _without_lm(program: Delegator, requests: Sequence[Request]) -> list[Outcome]:
    with dspy.context(lm=None):
        return delegate_all(program, requests, "find uncertain requests")


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
    student = opened(
        program,
        {
            "lm.orders": 1,
            "lm.weight": 0.0,
            "lm.shortlist": PLACES,
            "lm.card": "brief",
            "lm.prior": 0.0,
            "lm.repeats": 1,
        },
    )
    for request in requests[:_TIMED]:
        for each in spent:
            lm = language_model(each, threads=1, prompt_cache=False)
            with dspy.context(lm=lm):
                spent[each].append(delegate_measured(student, request.text).usage.seconds * 1000)
    ours, raw = (float(np.mean(times[1:])) for times in (spent[spec], spent[f"embedded:{RAW}"]))
    return {"ms_per_call": ours, "ms_per_call_raw": raw}


def selection_row(
    outcomes: Sequence[Outcome], tokens: int, before: Mapping[str, bool]
) -> dict[str, Any]:
    """Return how the LM selects from shortlists that hold the right agent.

    Args:
        outcomes: as the LM answered them in two orders.
        tokens: that it took.
        before: per task, whether the raw LM's pick is right.

    Raises:
        InputError: no shortlist holds the right agent.
    """
    listed = keep_listed(outcomes)
    if not listed:
        raise InputError("finetuned: no request's agent is on its shortlist")
    found = pick_in_both_orders(listed)
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


def gain_where_uncertain(
    known: Sequence[Outcome],
    outcomes: Sequence[Outcome],
    consult: Callable[[Sequence[Request]], tuple[list[Outcome], int]],
    fitted_on: int,
) -> dict[str, Any]:
    """Return retrieval's accuracy, and that with the LM where confidence is low.

    Args:
        known: validation requests as retrieval answers them; threshold and weight come from them.
        outcomes: the requests that are measured, as retrieval answers them.
        consult: returns requests as the LM answers them, and the tokens it took.
        fitted_on: at most so many uncertain validation requests give the pooling weight.
    """
    threshold = float(np.quantile([o.confidence for o in known], _UNSURE))
    fitting = [o.request for o in known if o.confidence < threshold]
    fitting = select(fitting, fitted_on, seed=0)
    weight = fit_lm_weight(consult(fitting)[0])
    uncertain = np.array([o.confidence < threshold for o in outcomes])
    about = [o.request for o, asked in zip(outcomes, uncertain, strict=True) if asked]
    answered, tokens = consult(about)
    before = grade_outcomes(outcomes)
    after = before.copy()
    after[uncertain] = pooled_ranks(answered, weight) == 1
    return {
        "n": len(outcomes),
        "asked": len(about),
        "fitted_on": len(fitting),
        "weight": weight,
        "calls_per_task": 2 * len(about) / len(outcomes),
        "tokens_per_task": tokens / len(outcomes),
        "asked_right_before": float(before[uncertain].mean()),
        "asked_right_after": float(after[uncertain].mean()),
        **_share("retrieval", before),
        **_share("with_lm", after),
        "with_lm_versus_retrieval": asdict(metrics.compare(after, before)),
    }


def _share(name: str, correct: np.ndarray) -> dict[str, Any]:
    return {
        name: float(correct.mean()),
        f"{name}_ci95": metrics.wilson(int(correct.sum()), len(correct)),
    }


def keep_listed(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Return the outcomes whose shortlist holds an acceptable agent."""
    return [o for o in outcomes if set(_orders(o)[0]) & set(o.request.acceptable)]


def pick_in_both_orders(outcomes: Sequence[Outcome]) -> Picks:
    """Return what the LM picked in retrieval's order and reversed."""
    in_order, in_reverse = zip(*map(_orders, outcomes), strict=True)
    acceptable = [
        {place for place, name in enumerate(order) if name in outcome.request.acceptable}
        for outcome, order in zip(outcomes, in_order, strict=True)
    ]
    nones = [[answer.none for answer in said_by_lm(outcome).answers] for outcome in outcomes]
    beliefs = [
        [np.array([*order.values(), none[turn]]) for order, none in zip(shown, nones, strict=True)]
        for turn, shown in enumerate((in_order, in_reverse))
    ]
    return picks(acceptable, *beliefs)


def _orders(outcome: Outcome) -> list[Mapping[str, float]]:
    """Return the LM's belief by name, in the order in which it saw the agents, per order."""
    return [answer.probabilities for answer in said_by_lm(outcome).answers]


def table(rows: list[dict[str, Any]]) -> str:
    """Return selection accuracy, the gain on unseen registries, and the learning curve."""
    return sections(
        {
            "Selection from the shortlist": _selection_table(rows),
            "Gain on unseen registries": _gain_table(rows),
            "Learning curve": "Held-out validation shortlists, which also chose the checkpoint, "
            "so the curve is optimistic; the tables above are not.\n\n" + _learning_table(rows),
        }
    )


def _selection_table(rows: list[dict[str, Any]]) -> str:
    return markdown(
        [row for row in rows if row["part"] == "accuracy"],
        {
            "data": lambda r: r["data"],
            "adapter": lambda r: r["lm"],
            "registry": lambda r: "-" if r["seen"] == "raw" else r["seen"],
            "right agent listed": lambda r: f"{r['listed']} of {r['n']}",
            "retrieval top-1": lambda r: percent(r["retrieval_first"]),
            "LM top-1, in order / reversed": lambda r: (
                f"{percent(r['in_order'])} / {percent(r['reversed'])}"
            ),
            "both orders [95% CI]": lambda r: rate(r, "both"),
            "difference to raw LM, points": lambda r: (
                "-" if r["seen"] == "raw" else difference(r["both_versus_raw"])
            ),
            "difference to retrieval, points": lambda r: difference(r["both_versus_retrieval"]),
            "order flips [95% CI]": lambda r: rate(r, "flips"),
            "tokens": lambda r: f"{r['tokens_per_task']:.0f}",
            "ms per call (raw)": lambda r: (
                f"{r['ms_per_call']:.0f} ({r['ms_per_call_raw']:.0f})"
                if "ms_per_call" in r
                else "-"
            ),
        },
    )


def _gain_table(rows: list[dict[str, Any]]) -> str:
    return markdown(
        [row for row in rows if row["part"] == "heard"],
        {
            "data": lambda r: r["data"],
            "adapter": lambda r: r["lm"],
            "n": lambda r: r["n"],
            "asked": lambda r: r["asked"],
            "top-1 of those, retrieval / with LM": lambda r: (
                f"{percent(r['asked_right_before'])} / {percent(r['asked_right_after'])}"
            ),
            "top-1, retrieval [95% CI]": lambda r: rate(r, "retrieval"),
            "with LM [95% CI]": lambda r: rate(r, "with_lm"),
            "gain, points": lambda r: difference(r["with_lm_versus_retrieval"]),
            "pooling weight (fitted on)": lambda r: f"{r['weight']:.2f} ({r['fitted_on']})",
            "LM calls": lambda r: f"{r['calls_per_task']:.2f}",
            "tokens": lambda r: f"{r['tokens_per_task']:.0f}",
        },
    )


def _learning_table(rows: list[dict[str, Any]]) -> str:
    return markdown(
        [row for row in rows if row["part"] == "learning"],
        {
            "adapter": lambda r: r["lm"],
            "held out": lambda r: r["data"],
            "examples": lambda r: f"{r['examples']:,}",
            "minutes": lambda r: f"{r['minutes']:.0f}",
            "loss": lambda r: "-" if r["loss"] is None else f"{r['loss']:.2f}",
            "n": lambda r: r["n"],
            "retrieval top-1": lambda r: percent(r["retrieval"]),
            "LM top-1, in order / reversed": lambda r: (
                f"{percent(r['order'])} / {percent(r['reversed'])}"
            ),
            "both orders [95% CI]": lambda r: _format_counts(r, "both"),
            "order flips [95% CI]": lambda r: _format_counts(r, "flips"),
        },
    )


def _format_counts(row: dict[str, Any], name: str) -> str:
    """Return a rate of ``n`` with its interval."""
    bounds = metrics.wilson(round(row[name] * row["n"]), row["n"])
    return f"{percent(row[name])} {interval(bounds)}"


def answer(rows: list[dict[str, Any]]) -> str:
    """Return the range of gains on unseen registries."""
    gains = [row["with_lm_versus_retrieval"] for row in rows if row["part"] == "heard"]
    low, high = (points(f(gain["difference"] for gain in gains)) for f in (min, max))
    smallest = min(gain["p"] for gain in gains)
    verdict = "none significant" if smallest > 0.05 else "some significant"
    return f"{low} to {high} points top-1 on unseen registries; {verdict}"
