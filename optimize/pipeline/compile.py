"""Compile a delegator for a registry: search, calibrate, fit the LM stage, evaluate, save."""

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import dspy

from optimize.calibration import Calibration, calibrate, fit_split
from optimize.checkpoint import Checkpoint, checkpoint_folder, identity_of, start_over
from optimize.config import CompileConfig, Options
from optimize.data import Dataset, Request, leaks, warn_of_repeats
from optimize.evaluation import Report, evaluate_requests, select
from optimize.lm_stage import (
    LMStage,
    LMStageConfig,
    LMStageResult,
    fit_lm_stage,
    opened,
    plan_calls,
)
from optimize.pipeline.manifest import provenance, run_name, run_params, run_tags
from optimize.pipeline.summary import prompt_message, summary
from optimize.search import (
    LEAN,
    RerankChoice,
    ScoredRequests,
    StudyLocation,
    choose_rerank,
    fit_weights,
    search,
)
from optimize.tracking import run as track
from optimize.tracking import store, trace_requests, without_hidden
from task_delegator.artifact import prompt_texts, save
from task_delegator.delegator import Delegator
from task_delegator.embedders import embedder, remembering
from task_delegator.errors import InputError
from task_delegator.knobs import KnobValues
from task_delegator.lm import is_embedded
from task_delegator.rerankers import reranker
from task_delegator.retrieval import CHANNELS
from task_delegator.settings import TIMEOUT
from task_delegator.text import without_user

_log = logging.getLogger(__name__)

_MAX_SCORED = 3000  # requests of a split that the search scores; more cost time for little gain


@dataclass(frozen=True, slots=True)
class Compiled:
    """A compiled program with its scores.

    Attributes:
        reports: on validation and test without LM, on test with it, and with the gate open.
        reranking: what a reranker brings; None without one.
    """

    folder: Path
    program: Delegator
    reports: dict[str, Report]
    lm_stage: LMStageResult | None
    calibration: Calibration
    run_id: str
    reranking: RerankChoice | None = None


@dataclass(frozen=True, slots=True)
class CompileContext:
    """What every step of a compilation works with.

    Attributes:
        program: the program that is compiled; each step sets its part of it.
        lm: the LM of the program; None without one.
        teacher: the LM that writes instructions and demos; None for the program's.
    """

    dataset: Dataset
    config: CompileConfig
    program: Delegator
    lm: dspy.BaseLM | None
    teacher: dspy.BaseLM | None
    run: track.Run
    checkpoint: Checkpoint

    @property
    def asked_lm(self) -> dspy.BaseLM | None:
        """The LM where it may be asked, else None."""
        return self.lm if self.config.max_lm_calls else None


def compile_program(
    dataset: Dataset,
    options: Options,
    lm: dspy.BaseLM | None,
    teacher: dspy.BaseLM | None = None,
) -> Compiled:
    """Compile, track and save a program for a dataset's registry.

    A compilation that was killed continues: trials of the search and results of the LM stage are
    kept beside the program until it is saved, and the MLflow run is the same. The test split is
    evaluated at the end, once per reported figure; nothing is chosen by it.

    Raises:
        InputError: a split that is needed is empty, or the LM calls are too few for the optimizer.
        LMError: the LM cannot be reached.
    """
    config = _checked_config(dataset, options, lm)
    warn_of_repeats(dataset)
    read_by = None if config.reranker is None else reranker(config.reranker)
    program = Delegator(
        dataset.registry, embedder(config.embedder), reranker=read_by, timeout=_deadline(lm)
    )
    program.retrieve.learned.values = learn_samples(dataset, config.samples_from_train)
    tags = run_tags(
        "compile",
        dataset,
        optimizer=config.optimizer or "none",
        lm=lm,
        embedder=config.embedder,
    ) | {"out": str(config.out)}
    name = run_name(tags)
    settings = shown_settings(config)
    identity = identity_of(
        dataset,
        config=settings,
        reranker=program.retrieve.rerank.id,
        lm=tags["lm"],
        store=store.digest(),
    )
    out = config.out
    with (
        Checkpoint(checkpoint_folder(out), identity, on_change=start_over, out=out) as checkpoint,
        track.run(name, tags, checkpoint.load("run")) as run,
    ):
        checkpoint.save("run", run.id)
        params = run_params(config, tags, dataset, len(leaks(dataset)))
        run.log_params(params)
        run.log_config(settings)
        run.log_dataset(dataset)
        run.begin_model(name, params)
        run.register_judge(lm)
        context = CompileContext(dataset, config, program, lm, teacher, run, checkpoint)
        compiled = _compile(context)
        checkpoint.remove()
        _trace(context)
        return compiled


def _deadline(lm: dspy.BaseLM | None) -> float | None:
    """Return the seconds that a task's LM calls may take while a program is compiled.

    An LM that is served here answers as fast as the processor lets it: on a busy machine it is
    slow and not dead, and nobody waits for a single task.
    """
    return None if is_embedded(lm) else TIMEOUT


def _checked_config(dataset: Dataset, options: Options, lm: dspy.BaseLM | None) -> CompileConfig:
    """Return what the compilation does, after checks that need no LM call.

    Raises:
        InputError: a split that is needed is empty, or the LM calls are too few for the optimizer.
    """
    for split in ("validation", "test"):
        if not dataset.splits[split]:
            raise InputError(f"{dataset.path}: no {split} requests; compile needs them")
    config = options.resolved(has_lm=lm is not None, embedded=is_embedded(lm))
    if config.max_lm_calls:
        train = len(dataset.splits["train"])
        plan = plan_calls(config.optimizer, config.max_lm_calls, train, config.cards)
        _log.info("the LM stage takes at most %d calls: %s", config.max_lm_calls, asdict(plan))
    return config


def _compile(context: CompileContext) -> Compiled:
    """Fit every part of the program, evaluate it and save it."""
    dataset, config, program = context.dataset, context.config, context.program
    written = prompt_texts(program)
    with remembering(program.retrieve.library.embed):
        choice = _search(context)
        calibration = calibrate(
            program, dataset, config.target_precision, config.out_of_scope_share, config.delta
        )
        fit_split(program, dataset)
        lm_stage, with_lm = _fit_lm_stage(context)
    # Outside the block: what a task costs includes its encoding.
    reports = _evaluate(context)
    manifest = _manifest(context, reports, lm_stage, calibration)
    manifest["reranker"] = _reranker_entry(context, choice)
    manifest["calibration"]["with_lm"] = with_lm
    save(program, config.out, manifest | {"mlflow_run_id": context.run.id})
    context.run.log_reports(reports)
    context.run.log_program(config.out)
    context.run.log_prompts(
        written, prompt_texts(program), prompt_message(dataset, lm_stage), _prompt_tags(context)
    )
    context.run.set_note(summary(reports))
    return Compiled(config.out, program, reports, lm_stage, calibration, context.run.id, choice)


def learn_samples(dataset: Dataset, per_agent: int) -> dict[str, tuple[str, ...]]:
    """Return the first train requests of each agent, to be used as further samples."""
    learned: dict[str, list[str]] = {}
    for request in dataset.splits["train"]:
        given = learned.setdefault(request.expected, [])
        if len(given) < per_agent:
            given.append(request.text)
    return {name: tuple(texts) for name, texts in sorted(learned.items()) if texts}


def _prompt_tags(context: CompileContext) -> dict[str, str]:
    lm = "none" if context.lm is None else str(context.lm.model)
    return {"data": context.dataset.path.name, "lm": lm, "run": context.run.id}


def _search(context: CompileContext) -> RerankChoice | None:
    """Set the knobs of retrieval; return what a reranker brings, None without one."""
    dataset, config, program = context.dataset, context.config, context.program

    def score(requests: tuple[Request, ...], learned: dict[str, tuple[str, ...]]) -> ScoredRequests:
        kept = select(requests, _MAX_SCORED, config.seed)
        return ScoredRequests(program.retrieve.library.index(learned), kept)

    validation = score(dataset.splits["validation"], program.retrieve.learned.values)
    starts = [KnobValues()]
    if dataset.splits["train"]:
        # Train requests that became samples would answer themselves: fit without them.
        fitted = score(dataset.splits["train"], {})
        starts += [fit_weights(fitted, KnobValues(), channels) for channels in (CHANNELS, LEAN)]
    location = StudyLocation("retrieval", context.checkpoint.journal)
    knobs, done = search(
        validation, starts, trials=config.trials, seed=config.seed, location=location
    )
    program.knobs.values = knobs
    context.run.log_trials(done)
    rerank = program.retrieve.rerank
    if rerank.id is None:
        return None
    program.knobs.values, choice = choose_rerank(validation, rerank, knobs, config.seed)
    _log.info("%s", choice.sentence())
    return choice


def _reranker_entry(context: CompileContext, choice: RerankChoice | None) -> dict[str, Any] | None:
    """Return what the manifest says of the reranker, used or not; None without one."""
    if choice is None:
        return None
    held = {"spec": context.config.reranker, "id": context.program.retrieve.rerank.id}
    return held | choice.to_json()


def _fit_lm_stage(context: CompileContext) -> tuple[LMStageResult | None, dict[str, Any] | None]:
    """Fit the LM stage, once: its calls are paid for.

    Returns:
        What it found, and the confidences with the LM; None where no LM is asked.
    """
    config, program, run = context.config, context.program, context.run
    if context.asked_lm is None:
        return None, None
    kept = context.checkpoint.load("lm_stage")
    if kept is None:
        stage = fit_lm_stage(
            program,
            context.dataset,
            context.asked_lm,
            LMStageConfig(
                max_lm_calls=config.max_lm_calls,
                optimizer=config.optimizer,
                teacher=context.teacher,
                ask_share=config.ask_share,
                target_precision=config.target_precision,
                out_of_scope_share=config.out_of_scope_share,
                delta=config.delta,
                cards=config.cards,
                most_shown=config.most_shown,
                seed=config.seed,
            ),
            tell=partial(run.log_candidates, optimizer=config.optimizer or "none"),
        )
        stage.apply(program)
        kept = _kept(program, stage)
        context.checkpoint.save("lm_stage", kept)
    program.load_state(kept["program"])
    result = LMStageResult.from_json(kept["lm_stage"])
    run.set_tag("optimizer", result.ran or "none")
    run.log_metrics({"lm_calls": result.calls, "weight": result.weight}, "lm_stage_")
    return result, kept["with_lm"]


def _kept(program: Delegator, stage: LMStage) -> dict[str, Any]:
    """Return what a checkpoint keeps of the LM stage, as plain JSON values."""
    return {
        "program": program.dump_state(),
        "lm_stage": asdict(stage.result),
        "with_lm": None if stage.calibration is None else stage.calibration.to_json(),
    }


def _evaluate(context: CompileContext) -> dict[str, Report]:
    program, config = context.program, context.config

    def report(name: str, split: str, variant: Delegator, **settings: Any) -> Report:
        made, outcomes = evaluate_requests(
            variant,
            context.dataset,
            split,
            name=name,
            seed=config.seed,
            out_of_scope_share=config.out_of_scope_share,
            **settings,
        )
        if name == "test":
            context.run.log_outcomes(without_hidden(outcomes, program.registry), name)
        return made

    reports = {
        "validation": report("validation", "validation", program),
        "test": report("test", "test", program),
    }
    if context.asked_lm is not None:
        settings = {"lm": context.asked_lm, "limit": config.lm_test_limit}
        reports["test_lm"] = report("test_lm", "test", program, **settings)
        reports["test_lm_gate_open"] = report(
            "test_lm_gate_open", "test", opened(program), **settings
        )
    return reports


def _trace(context: CompileContext) -> None:
    """Trace a fixed sample of validation requests, the LM asked about each where there is one."""
    config, program, lm = context.config, context.program, context.asked_lm
    if config.traces > 0 and not context.run.store_failed:
        requests = select(context.dataset.splits["validation"], config.traces, config.seed)
        shown = program if lm is None else opened(program)
        context.run.log_traces(trace_requests(shown, requests, lm, texts=config.trace_texts))


def shown_settings(config: CompileConfig) -> dict[str, Any]:
    """Return the settings as they are recorded: without passwords of addresses."""
    return {
        key: without_user(value) if isinstance(value, str) else value
        for key, value in asdict(config).items()
    }


def _manifest(
    context: CompileContext,
    reports: Mapping[str, Report],
    lm_stage: LMStageResult | None,
    calibration: Calibration,
) -> dict[str, Any]:
    config, program, lm = context.config, context.program, context.lm
    settings = shown_settings(config)
    packages = ("dspy", "optuna", "mlflow", "scikit-learn", "bm25s", "onnxruntime", "numpy")
    return {
        **provenance(context.dataset),
        "embedder": {"spec": config.embedder, "id": program.retrieve.library.embed.id},
        "lm": None if lm is None else {"spec": settings["lm"], "model": str(lm.model)},
        "optimizer": None if lm_stage is None else lm_stage.ran,
        "teacher": settings["teacher"],
        "preset": config.preset,
        "trials": config.trials,
        "max_lm_calls": config.max_lm_calls,
        "samples_from_train": config.samples_from_train,
        "target_precision": config.target_precision,
        "out_of_scope_share": config.out_of_scope_share,
        "delta": config.delta,
        "seed": config.seed,
        "versions": {"task-delegator": version("task-delegator")}
        | {name: version(name) for name in packages},
        "knobs": program.knobs.values.model_dump(),
        "lm_stage": None if lm_stage is None else asdict(lm_stage),
        "calibration": calibration.to_json(),
        "scores": {name: report.to_dict() for name, report in reports.items()},
    }
