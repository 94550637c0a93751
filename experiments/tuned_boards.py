"""Tables of what compilation makes: a fine-tuned LM, optimised prompts, the joint search."""

from typing import Any

from experiments.support.format import difference, percent, rows, share, span, table
from optimize.metrics import wilson


def finetuned() -> str:
    """Return what the fine-tuned LM is worth, per registry."""
    return table(
        [row for row in rows("finetuned") if row["part"] == "accuracy"],
        {
            "data": lambda r: r["data"],
            "LM": lambda r: r["lm"],
            "registry": lambda r: r["seen"] if r["seen"] != "raw" else "-",
            "right agent listed": lambda r: f"{r['listed']} of {r['n']}",
            "of those: retrieval first": lambda r: percent(r["retrieval_first"]),
            "best agent by the LM, in order / reversed": lambda r: (
                f"{percent(r['in_order'])} / {percent(r['reversed'])}"
            ),
            "both (95 %)": lambda r: share(r, "both"),
            "over the raw LM, points": lambda r: (
                "-"
                if r["seen"] == "raw"
                else f"{difference(r['both_versus_raw'])}, n = {r['both_versus_raw']['n']}"
            ),
            "over retrieval, points": lambda r: difference(r["both_versus_retrieval"]),
            "flips (95 %)": lambda r: share(r, "flips"),
            "tokens per task": lambda r: f"{r['tokens_per_task']:.0f}",
            "ms per call (raw)": lambda r: (
                f"{r['ms_per_call']:.0f} ({r['ms_per_call_raw']:.0f})"
                if "ms_per_call" in r
                else "-"
            ),
        },
    )


def heard() -> str:
    """Return what the fine-tuned LM adds where retrieval is unsure, per registry."""
    return table(
        [row for row in rows("finetuned") if row["part"] == "heard"],
        {
            "data": lambda r: r["data"],
            "LM": lambda r: r["lm"],
            "n": lambda r: r["n"],
            "asked": lambda r: r["asked"],
            "retrieval right on those": lambda r: percent(r["asked_right_before"]),
            "with the LM": lambda r: percent(r["asked_right_after"]),
            "all: retrieval (95 %)": lambda r: share(r, "retrieval"),
            "all: with the LM (95 %)": lambda r: share(r, "with_lm"),
            "gained, points": lambda r: difference(r["with_lm_versus_retrieval"]),
            "weight (fitted on)": lambda r: f"{r['weight']:.2f} ({r['fitted_on']})",
            "calls, tokens per task": lambda r: (
                f"{r['calls_per_task']:.2f}, {r['tokens_per_task']:.0f}"
            ),
        },
    )


def learning() -> str:
    """Return how the adapters came to read shortlists of registries kept from them."""
    return table(
        [row for row in rows("finetuned") if row["part"] == "learning"],
        {
            "adapter": lambda r: r["lm"],
            "kept out": lambda r: r["data"],
            "examples": lambda r: f"{r['examples']:,}",
            "minutes": lambda r: f"{r['minutes']:.0f}",
            "loss": lambda r: "-" if r["loss"] is None else f"{r['loss']:.2f}",
            "n": lambda r: r["n"],
            "retrieval first": lambda r: percent(r["retrieval"]),
            "LM in order / reversed": lambda r: f"{percent(r['order'])} / {percent(r['reversed'])}",
            "both (95 %)": lambda r: _counted(r, "both"),
            "flips (95 %)": lambda r: _counted(r, "flips"),
        },
    )


def optimizers() -> str:
    """Return what each optimiser makes of the LM's prompt."""
    return table(
        rows("optimizers"),
        {
            "optimiser": lambda r: r["optimizer"],
            "teacher": lambda r: r.get("teacher", "-"),
            "n": lambda r: r["n"],
            "picked right (95 %)": lambda r: (
                "failed" if r.get("failure") else share(r, "picked_right")
            ),
            "over the plain prompt, points": lambda r: (
                "-" if r.get("failure") else difference(r["versus_plain"])
            ),
            "demos": lambda r: r.get("demos", "-"),
            "characters of instructions": lambda r: r.get("instruction_characters", "-"),
            "same answers after loading": lambda r: (
                f"{r['same_answers']} of {r['asked_again']}" if "asked_again" in r else "-"
            ),
            "LM calls": lambda r: f"{r['lm_calls']} of {r['budget']}" if "lm_calls" in r else "-",
            "tokens": lambda r: r["tokens"],
            "s": lambda r: f"{r['seconds']:.0f}",
            "failed": lambda r: r.get("failure", "-"),
        },
    )


def _counted(row: dict[str, Any], name: str) -> str:
    """Return a share of ``n`` with its interval."""
    return f"{percent(row[name])} ({span(wilson(round(row[name] * row['n']), row['n']))})"


TUNED_BOARDS = {
    "finetuned": finetuned,
    "heard": heard,
    "learning": learning,
    "optimizers": optimizers,
}
