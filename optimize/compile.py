"""Compile a delegator for a registry: search, teach, calibrate, evaluate, save."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import dspy

from optimize import store, track
from optimize.calibrate import Calibration, calibrate
from optimize.candidates import PromptCandidate
from optimize.checkpoint import Checkpoint, beside, identity_of, start_anew
from optimize.data import Dataset, Request, leaks
from optimize.evaluate import evaluate_requests, select
from optimize.fusion import LEAN, ScoredRequests, fit_weights
from optimize.options import PRESETS, Options, Preset
from optimize.plans import fit_split
from optimize.provenance import commit
from optimize.report import Report
from optimize.search import search
from optimize.study import Place
from optimize.teach import Lesson, Way, opened, plan_calls, teach
from optimize.traces import traced
from task_delegator.artifact import save
from task_delegator.delegator import Delegator
from task_delegator.embed import embedder, remembering
from task_delegator.errors import InputError
from task_delegator.knobs import KnobValues
from task_delegator.retrieve import CHANNELS

_MOST_SCORED = 3000  # requests of a split that the search looks at; more cost time and tell little


@dataclass(frozen=True, slots=True)
class Compiled:
    """A compiled program with its scores.

    Attributes:
        reports: on validation and test without LM, on test with it, and with the gate open.
    """

    folder: Path
    program: Delegator
    reports: dict[str, Report]
    lesson: Lesson | None
    calibration: Calibration
    run_id: str


def compile_program(
    dataset: Dataset,
    options: Options,
    lm: dspy.BaseLM | None,
    teacher: dspy.BaseLM | None = None,
) -> Compiled:
    """Compile, track and save a program for a dataset's registry.

    What was killed goes on: trials of the search and the lesson of the LM are kept beside the
    program until it is saved, and the run in MLflow is the same. The test split is evaluated at
    the end, once per reported figure; nothing is chosen by it.

    Raises:
        InputError: a split that is needed is empty, or the LM calls are too few for the optimizer.
        LMError: the LM cannot be reached.
    """
    for split in ("validation", "test"):
        if not dataset.splits[split]:
            raise InputError(f"{dataset.path}: the {split} split is empty; compiling needs it")
    preset = PRESETS[options.preset]
    asks = _asks(lm, options, preset)
    if asks:
        train = len(dataset.splits["train"])
        plan_calls(options.optimizer, _budget(options, preset), train)  # refuses too few
    program = Delegator(dataset.registry, embedder(options.embedder))
    learned = learn_samples(dataset, options.samples_from_train)
    program.retrieve.learned.values = learned
    tags = {
        "kind": "compile",
        "optimizer": options.optimizer if asks else "none",
        "lm": str(lm.model) if lm else "none",
        "embedder": options.embedder,
        "data": str(dataset.path),
        "commit": commit(),
    }
    name = f"compile {dataset.path.name} ({options.preset})"
    identity = identity_of(dataset, options=asdict(options), lm=tags["lm"], store=store.digest())
    with (
        Checkpoint(
            beside(options.out), identity, on_change=start_anew, out=options.out
        ) as checkpoint,
        track.run(name, tags, checkpoint.kept("run")) as run,
        ExitStack() as fitting,
    ):
        fitting.enter_context(remembering(program.retrieve.library.embed))
        checkpoint.keep("run", run.id)
        run.params({**asdict(options), "leaks": len(leaks(dataset))})
        run.dataset(dataset)
        _search(program, dataset, options, preset, run, checkpoint)
        calibration = calibrate(program, dataset, options.target_precision)
        fit_split(program, dataset)
        lesson = None
        if lm is not None and asks:
            before = program.classify.select.deepcopy()
            tell = partial(run.candidates, optimizer=options.optimizer)
            lesson = _teach(program, dataset, options, preset, lm, teacher, checkpoint, tell)
            run.tag("optimizer", lesson.ran or "none")
            run.prompts(before, program.classify.select)
            run.metrics({"lm_calls": lesson.calls, "weight": lesson.weight}, "teach_")
        fitting.close()  # what a task costs includes its encoding
        reports = _evaluate(program, dataset, options, preset, lm, run)
        save(
            program,
            options.out,
            _manifest(dataset, options, preset, lm, program, reports, lesson, calibration)
            | {"mlflow_run_id": run.id},
        )
        run.artifact(options.out)
        run.note(summary(reports))
        checkpoint.remove()
        _trace(program, dataset, options, lm if asks else None, run)
        return Compiled(options.out, program, reports, lesson, calibration, run.id)


def learn_samples(dataset: Dataset, per_agent: int) -> dict[str, tuple[str, ...]]:
    """Return the first train requests of each agent, to be used as further samples."""
    learned: dict[str, list[str]] = {}
    for request in dataset.splits["train"]:
        given = learned.setdefault(request.expected, [])
        if len(given) < per_agent:
            given.append(request.text)
    return {name: tuple(texts) for name, texts in sorted(learned.items()) if texts}


def summary(reports: Mapping[str, Report]) -> str:
    """Return a markdown table of the reports."""
    lines = ["| | n | top-1 | 95 % | top-3 | LM calls per task |", "|---|---|---|---|---|---|"]
    for name, r in reports.items():
        low, high = r.top1_ci95
        lines.append(
            f"| {name} | {r.n} | {r.top1:.1%} | {low:.1%} to {high:.1%} | {r.top3:.1%} "
            f"| {r.lm_calls_per_task:.2f} |"
        )
    return "\n".join(lines)


def _search(
    program: Delegator,
    dataset: Dataset,
    options: Options,
    preset: Preset,
    run: track.Run,
    checkpoint: Checkpoint,
) -> None:
    def score(requests: tuple[Request, ...], learned: dict[str, tuple[str, ...]]) -> ScoredRequests:
        kept = select(requests, _MOST_SCORED, options.seed)
        return ScoredRequests(program.retrieve.library.index(learned), kept)

    validation = score(dataset.splits["validation"], program.retrieve.learned.values)
    starts = [KnobValues()]
    if dataset.splits["train"]:
        # Train requests that became samples would answer themselves: fit without them.
        fitted = score(dataset.splits["train"], {})
        starts += [fit_weights(fitted, KnobValues(), channels) for channels in (CHANNELS, LEAN)]
    trials = preset.trials if options.trials is None else options.trials
    place = Place("retrieval", checkpoint.journal)
    knobs, done = search(validation, starts, trials=trials, seed=options.seed, place=place)
    program.knobs.values = knobs
    run.trials(done)


def _teach(
    program: Delegator,
    dataset: Dataset,
    options: Options,
    preset: Preset,
    lm: dspy.BaseLM,
    teacher: dspy.BaseLM | None,
    checkpoint: Checkpoint,
    tell: Callable[[Sequence[PromptCandidate]], None],
) -> Lesson:
    kept = checkpoint.kept("lesson")
    if kept is not None:
        program.load_state(kept["program"])
        return Lesson.from_json(kept["lesson"])
    calls, way = _budget(options, preset), Way(options.optimizer, teacher)
    lesson = teach(program, dataset, lm, max_lm_calls=calls, seed=options.seed, way=way, tell=tell)
    checkpoint.keep("lesson", {"program": program.dump_state(), "lesson": asdict(lesson)})
    return lesson


def _evaluate(
    program: Delegator,
    dataset: Dataset,
    options: Options,
    preset: Preset,
    lm: dspy.BaseLM | None,
    run: track.Run,
) -> dict[str, Report]:
    def report(name: str, split: str, variant: Delegator, **settings: Any) -> Report:
        made, outcomes = evaluate_requests(
            variant, dataset, split, name=name, seed=options.seed, **settings
        )
        run.metrics(made.metrics(), f"{name}_")
        if name == "test":
            run.outcomes(outcomes, name)
        return made

    reports = {
        "validation": report("validation", "validation", program),
        "test": report("test", "test", program),
    }
    if _asks(lm, options, preset):
        limit = preset.lm_test_limit
        reports["test_lm"] = report("test_lm", "test", program, lm=lm, limit=limit)
        reports["test_lm_gate_open"] = report(
            "test_lm_gate_open", "test", opened(program), lm=lm, limit=limit
        )
    return reports


def _trace(
    program: Delegator, dataset: Dataset, options: Options, lm: dspy.BaseLM | None, run: track.Run
) -> None:
    """Trace a fixed sample of validation requests, the LM asked about each where there is one."""
    if options.traces > 0 and not run.lost:
        requests = select(dataset.splits["validation"], options.traces, options.seed)
        shown = program if lm is None else opened(program)
        run.traces(traced(shown, requests, lm, texts=options.trace_texts))


def provenance(dataset: Dataset) -> dict[str, Any]:
    """Return what a manifest says of code and data; the confidence speaks of this registry."""
    return {
        "commit": commit(),
        "dataset": {"path": str(dataset.path), "sha256": dataset.digests()},
        "registry": {
            "sha256": dataset.registry.sha256(),
            "agents": len(dataset.registry),
            "enriched": dataset.enriched,
            "calibrated": sorted(agent.digest() for agent in dataset.registry),
        },
    }


def _asks(lm: dspy.BaseLM | None, options: Options, preset: Preset) -> bool:
    return lm is not None and _budget(options, preset) > 0


def _budget(options: Options, preset: Preset) -> int:
    return preset.max_lm_calls if options.max_lm_calls is None else options.max_lm_calls


def _manifest(
    dataset: Dataset,
    options: Options,
    preset: Preset,
    lm: dspy.BaseLM | None,
    program: Delegator,
    reports: Mapping[str, Report],
    lesson: Lesson | None,
    calibration: Calibration,
) -> dict[str, Any]:
    packages = ("dspy", "optuna", "mlflow", "scikit-learn", "bm25s", "onnxruntime", "numpy")
    return {
        **provenance(dataset),
        "embedder": {"spec": options.embedder, "id": program.retrieve.library.embed.id},
        "lm": None if lm is None else {"spec": options.lm, "model": str(lm.model)},
        "optimizer": None if lesson is None else lesson.ran,
        "teacher": options.teacher,
        "preset": options.preset,
        "trials": preset.trials if options.trials is None else options.trials,
        "max_lm_calls": _budget(options, preset) if lm is not None else 0,
        "samples_from_train": options.samples_from_train,
        "target_precision": options.target_precision,
        "seed": options.seed,
        "versions": {"task-delegator": version("task-delegator")}
        | {name: version(name) for name in packages},
        "knobs": asdict(program.knobs.values),
        "lesson": None if lesson is None else asdict(lesson),
        "calibration": calibration.to_json(),
        "scores": {name: report.to_dict() for name, report in reports.items()},
    }
