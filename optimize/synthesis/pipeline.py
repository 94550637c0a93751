"""Synthesize a dataset: agents and labeled requests for named domains, step by step.

Every answer of the LM is kept in ``OUT.work`` beside the output, which appears in one step when it
is complete. A run that was stopped or killed continues with the same command.
"""

import json
import shutil
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dspy
from tqdm import tqdm

from optimize.checkpoint import Checkpoint, checkpoint_folder, matches, refuse
from optimize.data import SPLITS
from optimize.lm_stage import ResponseCache
from optimize.synthesis.filters import Draft, Drop, filter_drafts
from optimize.synthesis.generate import (
    EXTRA_TURNS,
    CheckRoundTrip,
    WriteLabeled,
    WriteRegistry,
    require_answer,
)
from optimize.synthesis.report import (
    ANSWERS,
    REPORT,
    SynthesisResult,
    build_report,
    save_dataset,
    split_requests,
)
from optimize.synthesis.spec import SynthesisSpec
from task_delegator.embedders import Embedder
from task_delegator.errors import InputError, LMError, LMSpecError
from task_delegator.lm import without_logprobs, writes
from task_delegator.registry import Agent, Registry
from task_delegator.retrieval import IndexCache, Retrieve
from task_delegator.system import read_json, write_text

_CALL_SECONDS = 900.0  # a small LM on a busy machine writes some hundred tokens in minutes


def synthesize(spec: SynthesisSpec, lm: Any, embed: Embedder, out: Path) -> dict[str, Any]:
    """Write a dataset directory; return its report.

    Args:
        lm: writes, and judges where retrieval is not sure.
        embed: the embedder of the retrieval that requests must lead back by.
        out: the directory; where the same was synthesized already, nothing is done.

    Raises:
        InputError: the order cannot be met, the limit of calls is reached, or the path holds
            something else.
        LMError: the LM cannot be reached, only decides, or writes too little that can be used.
    """
    spec.check()
    if not writes(lm):
        raise LMSpecError(f"{lm.model}: only decides; synthesize needs an LM that writes")
    settings = {
        "domains": list(spec.domains),
        "agents": spec.agents,
        "requests": spec.requests,
        "seed": spec.seed,
        "lm": str(lm.model),
        "embedder": embed.id,
    }
    work = checkpoint_folder(out)
    done = _finished_report(out, settings)
    if done is not None:
        if matches(work, settings):  # left by a process that was killed at the very end
            shutil.rmtree(work)
        return done
    # Neither code nor limits belong to the identity: answers are found by their whole question.
    with (
        Checkpoint(work, settings, on_change=refuse, out=out, kind="dataset") as checkpoint,
        ResponseCache(work / ANSWERS, spec.call_limit) as answers,
    ):
        with dspy.context(lm=_long_answer_lm(lm), disable_history=True):
            result = _write_requests(spec, lm, embed, answers)
        splits = split_requests(result.kept, spec.seed)
        report = build_report(spec, settings, result, splits, answers)
        write_text(work / REPORT, json.dumps(report, indent=1, ensure_ascii=False) + "\n")
        empty = [name for name in SPLITS if not splits[name]]
        if empty:
            raise LMError(
                f"{len(result.kept)} requests passed, none for the {empty[0]} split; see "
                f"{work / REPORT}; use a larger LM, or another --seed and --out"
            )
        save_dataset(work, out, settings, result, splits)
        checkpoint.remove()
    return report


def _long_answer_lm(lm: Any) -> Any:
    """Return an LM for long answers: without log-probabilities of each token, and with time."""
    patient = {"timeout": _CALL_SECONDS} if "timeout" in lm.kwargs else {}
    return without_logprobs(lm).copy(**patient)


def _write_requests(
    spec: SynthesisSpec, lm: Any, embed: Embedder, answers: ResponseCache
) -> SynthesisResult:
    agents: list[Agent] = []
    calls: dict[str, list[str]] = {}
    dropped_counts = {"agents": Counter[str](), "samples": Counter[str]()}
    write_registry = WriteRegistry(answers)
    for domain in tqdm(spec.domains, desc="agents", unit="domain"):
        found = write_registry(domain=domain, number=spec.agents, others=agents)
        agents += found.agents
        calls |= found.calls
        dropped_counts["agents"].update(found.dropped)
        dropped_counts["samples"].update(found.samples)
    registry = Registry(agents)
    library = IndexCache(registry, embed)
    index = library.index({})
    write_requests = WriteLabeled(answers, spec.seed)
    check_round_trip = CheckRoundTrip(Retrieve(library), answers, lm, spec.seed)
    drafts: list[Draft] = []
    kept: list[Draft] = []
    dropped: list[Drop] = []
    unreadable = 0
    for turn in range(1 + EXTRA_TURNS):
        counts = Counter(draft.agent for draft in kept)
        incomplete = [i for i, n in enumerate(index.names) if counts[n] < spec.requests]
        if not incomplete:
            break
        for place in tqdm(incomplete, desc=f"requests, turn {turn + 1}", unit="agent"):
            missing = spec.requests - counts[index.names[place]]
            found = write_requests(index=index, place=place, number=missing, turn=turn)
            drafts += found.drafts
            unreadable += found.unreadable
            if turn == 0:
                require_answer(found)
        kept, dropped = filter_drafts(
            drafts, registry, lambda draft: check_round_trip(draft).reason
        )
    retrieval_top1 = sum(check_round_trip.rank(draft) == 1 for draft in kept) / max(len(kept), 1)
    return SynthesisResult(
        registry, calls, dropped_counts, drafts, kept, dropped, unreadable, retrieval_top1
    )


def _finished_report(out: Path, settings: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the report of a finished output of the same settings, None where there is none."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return None
    report = read_json(out / REPORT) if (out / REPORT).is_file() else {}
    if not isinstance(report, dict) or report.get("settings") != settings:
        raise InputError(f"{out}: exists, with other settings; name another --out")
    return report
