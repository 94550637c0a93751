"""How is an LM without log-probabilities asked: once with a structured answer, or several times?

A recorded large LM is asked about our test requests, as written, in six ways. Shortlist, card and
gate are those of ``large_lm`` at two fifths of the tasks; each way's weight in the pool is fitted
on validation. Where answers are drawn, they are drawn from the recorded belief. The ranking is
that belief in two digits.
"""

from typing import Any

from experiments.studies.large_lm import CALLS, compile_without_lm
from experiments.support.format import markdown, percent, rate
from experiments.support.public_data import ROOT
from optimize.data import OURS, Dataset, load_dataset
from optimize.evaluation import evaluate
from optimize.lm_stage import LMStageConfig, ask, fit_lm_stage, fit_weight, gain_curve
from optimize.recorded import language_model
from task_delegator.delegator import Delegator

_SHARE = 0.4
_TRIALS = 100
_ONE_ORDER = {"lm.orders": 1, "lm.answer": "slot", "lm.repeats": 1}
_DRAWN = "?logprobs=off&answer=sample"
_STRUCTURED = "structured answer: slot and three best"
_REPEATED = "three answers"
# Options of the recorded LM, and the knobs that make the way.
_WAYS: dict[str, tuple[str, dict[str, Any]]] = {
    "log-probabilities": ("", {}),
    _STRUCTURED: ("?logprobs=off", {"lm.answer": "ranking"}),
    "slot, then a written distribution": ("?logprobs=off", {"lm.repeats": 0}),
    "one answer": (_DRAWN, {}),
    _REPEATED: (_DRAWN, {"lm.repeats": 3}),
    "ten answers": (_DRAWN, {"lm.repeats": 10}),
}


def run(quick: bool) -> list[dict[str, Any]]:
    """Return one row per way of asking; quick: few trials, measured on validation."""
    dataset = load_dataset(OURS, enriched=False)
    program = compile_without_lm(dataset, 3 if quick else _TRIALS)
    lm = language_model(f"recorded:{ROOT / 'lm_answers'}")
    config = LMStageConfig(CALLS, optimizer=None, ask_share=_SHARE)
    fit_lm_stage(program, dataset, lm, config).apply(program)
    split = "validation" if quick else "test"
    return [_row(way, dataset, program, split) for way in _WAYS]


def _row(way: str, dataset: Dataset, program: Delegator, split: str) -> dict[str, Any]:
    options, knobs = _WAYS[way]
    lm = language_model(f"recorded:{ROOT / 'lm_answers'}{options}")
    student = program.deepcopy()
    student.knobs.set(_ONE_ORDER | knobs)
    requests = dataset.splits["validation"]
    answers = ask(student, requests, lm, student.classify.select, _ONE_ORDER | knobs)
    student.knobs.set({"lm.weight": fit_weight([gain_curve(each, 1) for each in answers])})
    report = evaluate(student, dataset, split, name=way, lm=lm).to_dict()
    return {
        "way": way,
        "weight": student.knobs.values.lm.weight,
        **{k: report[k] for k in ("n", "top1", "top1_ci95", "top3", "lm_share", "lm_calls")},
        "calls_per_asked": report["lm_calls_per_task"] / report["lm_share"],
        "tokens_per_asked": report["tokens_per_task"] / report["lm_share"],
    }


def table(rows: list[dict[str, Any]]) -> str:
    """Return accuracy and cost by way of asking."""
    return markdown(
        rows,
        {
            "asked for": lambda r: r["way"],
            "n": lambda r: r["n"],
            "top-1 [95% CI]": lambda r: rate(r, "top1"),
            "top-3": lambda r: percent(r["top3"]),
            "calls per task asked": lambda r: f"{r['calls_per_asked']:.1f}",
            "tokens per task asked": lambda r: f"{r['tokens_per_asked']:,.0f}",
            "weight": lambda r: f"{r['weight']:.2f}",
        },
    )


def answer(rows: list[dict[str, Any]]) -> str:
    """Return what one structured answer reaches and costs beside three answers."""
    ways = {row["way"]: row for row in rows}
    one, three = ways[_STRUCTURED], ways[_REPEATED]
    return (
        f"One structured answer: {percent(one['top1'])} top-1 for "
        f"{one['tokens_per_asked']:,.0f} tokens a task; three answers: {percent(three['top1'])} "
        f"for {three['tokens_per_asked']:,.0f}"
    )
