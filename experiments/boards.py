"""Tables of the larger experiments: prompts, order, scaling, peers, public sets, confidence."""

from experiments.support.format import COST, difference, percent, rows, share, span, table

_PLACES = ("right_listed_first", "right_listed_later")
_INTENTS = ("banking77", "clinc150", "hwu64")
# Of other systems, by others, with other encoders; not measured here.
_PUBLISHED = (
    (
        "CPFT, 5-shot", "80.9", "92.3", "82.0",
        "Zhang et al., EMNLP 2021, arXiv 2109.06349; hwu64 as wizwand.com lists it, banking77 as "
        "another listing does, clinc150 from memory",
    ),
    (
        "CPFT, 10-shot", "87.2", "94.2", "87.1",
        "the same, as wizwand.com lists it (and, run by others, 78.6, -, 79.5)",
    ),
    (
        "QAID, 10-shot", "88.8", "95.7", "90.4",
        "Yehudai et al., ICLR 2023, arXiv 2303.01593; from memory",
    ),
    (
        "LLaMA-2-70B in context, 10-shot", "85.9", "95.4", "88.1",
        "Milios et al., GenBench 2023, arXiv 2309.10954; as wizwand.com lists it",
    ),
)  # fmt: skip


def prompting() -> str:
    """Return the chain of prompts, per LM, beside the seed's own figures."""
    seed = {
        "all agents": "77 / 96",
        "all agents, shuffled": "66 / 88",
        "shortlist": "76 / 93",
        "shortlist and samples": "81 / 96",
    }
    return table(
        rows("prompting"),
        {
            "LM": lambda r: r["lm"],
            "prompt": lambda r: r["way"],
            "n": lambda r: f"{r['n']}, in {r['orders']} orders" if r["orders"] > 1 else r["n"],
            "top-1 (95 %)": lambda r: share(r, "top1"),
            "top-3": lambda r: percent(r["top3"]),
            "names an agent twice": lambda r: percent(r["repeats"]) if "repeats" in r else "-",
            "against all agents, points": lambda r: difference(r.get("versus_all_agents")),
            "against the shortlist, points": lambda r: difference(r.get("versus_shortlist")),
            "right where the right agent is listed first, later": lambda r: (
                "; ".join(f"{r[part]['right']} of {r[part]['n']}" for part in _PLACES)
                if _PLACES[0] in r
                else "-"
            ),
            "this program over it, points": lambda r: difference(r.get("program_versus")),
            "tokens": lambda r: f"{r['tokens_per_task']:.0f}",
            "s": lambda r: f"{r['seconds_per_task']:.2f}",
            "that document's (another LM and data)": lambda r: (
                seed.get(r["way"], "-") if r["lm"] != "none" else "-"
            ),
        },
    )


def order() -> str:
    """Return what the place in the prompt does, per LM."""
    return table(
        rows("order"),
        {
            "LM": lambda r: r["lm"],
            "what": lambda r: r["what"],
            "n": lambda r: r["n"],
            "share (95 %)": lambda r: f"{percent(r['rate'])} ({span(r['ci95'])})",
        },
    )


def scaling() -> str:
    """Return accuracy against the number of agents, with latency and memory; one table each."""
    conditions = list(dict.fromkeys(row["condition"] for row in rows("scaling")))
    return "\n\n".join(
        f"**{condition.capitalize()}**\n\n{_scaling(condition)}" for condition in conditions
    )


def _scaling(condition: str) -> str:
    return table(
        [row for row in rows("scaling") if row["condition"] == condition],
        {
            "growth": lambda r: r["growth"],
            "agents": lambda r: f"{r['agents']:,}",
            "system": lambda r: r["system"],
            "n": lambda r: r["n"],
            "top-1 (95 %)": lambda r: share(r, "top1"),
            "top-3": lambda r: percent(r["top3"]),
            "recall@k": lambda r: (
                percent(r["recall_at_k"]) + (f", k = {r['k']}" if "k" in r else "")
                if "recall_at_k" in r
                else "-"
            ),
            "against 70, points": lambda r: difference(r.get("versus_70")),
            "against the old weights, points": lambda r: difference(r.get("versus_compiled")),
            "the LM adds, points": lambda r: difference(r.get("versus_without")),
            "LM calls, tokens per task": lambda r: (
                f"{r['lm_calls_per_task']:.2f}, {r['tokens_per_task']:.0f}"
                if "tokens_per_task" in r
                else "-"
            ),
            "p50 ms": lambda r: f"{r['p50_ms']:.1f}" if "p50_ms" in r else "-",
            "index: s (texts embedded)": lambda r: (
                f"{r['build_seconds']:.0f} ({r['texts_encoded']:,})"
                if "texts_encoded" in r
                else "-"
            ),
            "vectors: MB": lambda r: f"{r['vectors_mb']:.0f}" if "vectors_mb" in r else "-",
            "agents with real samples": lambda r: r.get("with_real_samples", "-"),
        },
    )


def peers() -> str:
    """Return other libraries beside the program, on the same requests."""
    return table(
        rows("peers"),
        {
            "data": lambda r: r["data"],
            "system": lambda r: r["system"],
            "n": lambda r: r["n"],
            "top-1 (95 %)": lambda r: share(r, "top1"),
            "top-3": lambda r: percent(r["top3"]),
            "ours over it, points": lambda r: difference(r.get("versus")),
            "out of scope: AUROC": lambda r: (
                f"{r['oos_auroc']:.3f}" if r["oos_auroc"] is not None else "-"
            ),
            "ms": lambda r: f"{r['p50_ms']:.1f}",
            "tokens": lambda r: f"{r['tokens_per_task']:.0f}",
        },
    )


def public() -> str:
    """Return the public sets with abstention."""
    return table(
        rows("public"),
        {
            "data": lambda r: r["data"],
            "agents": lambda r: r["agents"],
            "n": lambda r: r["n"],
            "top-1 (95 %)": lambda r: share(r, "top1"),
            "top-3": lambda r: percent(r["top3"]),
            "assigned": lambda r: percent(r["decisions"]["assign"] / r["n"]),
            "right of those": lambda r: (
                percent(r["precision_assigned"]) if r["precision_assigned"] is not None else "-"
            ),
            "out of scope": lambda r: r["n_out_of_scope"] or "-",
            "AUROC": lambda r: f"{r['oos_auroc']:.3f}" if r["oos_auroc"] is not None else "-",
            "false positives at 95 % recall": lambda r: (
                percent(r["oos_fpr95"]) if r["oos_fpr95"] is not None else "-"
            ),
            "of those assigned": lambda r: (
                r["decisions_out_of_scope"]["assign"] if r["n_out_of_scope"] else "-"
            ),
        },
    )


def published() -> str:
    """Return what others published on the intent sets, not measured here."""
    top1 = {row["data"]: f"{100 * row['top1']:.1f}" for row in rows("public")}
    ours = [
        (f"this program, {shots}-shot", *(top1[name + few] for name in _INTENTS), "`public`, above")
        for shots, few in ((5, ", 5 samples"), (10, ""))
    ]
    lines = ["| system | banking77 | clinc150 | hwu64 | source |", "|---|---|---|---|---|"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in (*ours, *_PUBLISHED))])


def signs() -> str:
    """Return which sign of confidence tells right from wrong."""
    return table(
        [row for row in rows("confidence") if "auroc_error" in row],
        {
            "sign": lambda r: r["sign"],
            "LM": lambda r: r["lm"],
            "requests": lambda r: r["requests"],
            "n": lambda r: r["n"],
            "right (95 %)": lambda r: share(r, "accuracy"),
            "AUROC of error (95 %)": lambda r: (
                f"{r['auroc_error']:.2f} ({r['auroc_error_ci95'][0]:.2f} to "
                f"{r['auroc_error_ci95'][1]:.2f})"
                if r["auroc_error"] is not None
                else "-"
            ),
            "ECE (range of a calibrated model)": lambda r: (
                f"{r['ece']:.3f} ({r['ece_calibrated_range'][0]:.3f} to "
                f"{r['ece_calibrated_range'][1]:.3f})"
                if "ece" in r
                else "-"
            ),
            "right on the surest half": lambda r: percent(r["accuracy_at_coverage"]["0.5"]),
            "picks the first place, in order / reversed": lambda r: (
                " / ".join(map(percent, r["picks_first_place"])) if "its pick" in r["sign"] else "-"
            ),
            "rated 1 / 2 / 3 / 4 / 5, not read": lambda r: (
                " / ".join(map(str, r["ratings"][:5])) + f", {r['ratings'][5]}"
                if r["sign"].startswith("rubric")
                else "-"
            ),
            **COST,
        },
    )


def stories() -> str:
    """Return a clear case and a tie, from real runs."""
    told = []
    for row in rows("confidence"):
        if row["sign"].startswith("story"):
            shares = ", ".join(f"{name} {percent(p)}" for name, p in row["top3"])
            right = row["top3"][0][0] in row["expected"]
            told.append(
                f"- **{row['sign'].removeprefix('story: ').capitalize()}, "
                f"{'right' if right else 'and wrong'}.** “{row['task']}” "
                f"Retrieval's shares: {shares}. Expected: {' or '.join(row['expected'])}. "
                "Calibrated confidence in the first "
                f"{row['confidence']:.2f}: {row['decision']}. “{row['reason']}”"
            )
    return "\n".join(told)


BOARDS = {
    "prompting": prompting,
    "order": order,
    "scaling": scaling,
    "peers": peers,
    "public": public,
    "published": published,
    "signs": signs,
    "stories": stories,
}
