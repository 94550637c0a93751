"""Improve a compiled program by a joint search: search, choose, compare, save."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import dspy

from optimize.calibration import Calibration
from optimize.checkpoint import Checkpoint, checkpoint_folder, digest_of, identity_of, refuse
from optimize.data import Dataset
from optimize.evaluation import PairedComparison, Report, compare_programs, evaluate
from optimize.joint import JointSearchConfig, JointTrial, apply_trial, cheapest, front, joint_search
from optimize.lm_stage import ResponseCache
from optimize.pipeline.manifest import provenance, run_name, run_tags
from optimize.tracking import run as track
from optimize.tracking import store
from task_delegator.artifact import prompt_texts, read_target, save
from task_delegator.decision import Target
from task_delegator.delegator import Delegator
from task_delegator.errors import InputError

_SPLITS = ("validation", "test")


@dataclass(frozen=True, slots=True)
class Improvement:
    """What a joint search came to.

    Attributes:
        trials: every trial that was finished.
        chosen: the cheapest within a standard error of the best.
        reports: of the saved program, by split.
        comparisons: the saved program against the one it came from, by split.
    """

    trials: list[JointTrial]
    chosen: JointTrial
    reports: dict[str, Report]
    comparisons: dict[str, PairedComparison]

    def table(self) -> str:
        """Return the Pareto front as a markdown table, the chosen point marked."""
        lines = ["| trial | top-1 on validation | LM tokens per task | prompt | gate | LM |"]
        lines += ["|---|---|---|---|---|---|"]
        for point in front(self.trials):
            mark = " (chosen)" if point == self.chosen else ""
            lines.append(
                f"| {point.number}{mark} | {point.top1:.1%} | {point.tokens:.0f} "
                f"| {point.prompt}, {point.demos} demos | {point.knobs.lm.gate or 0.0:.2f} "
                f"| {point.knobs.lm.weight:.2f} |"
            )
        return "\n".join(lines)


def improve(
    name: str,
    program: Delegator,
    manifest: Mapping[str, Any],
    dataset: Dataset,
    lm: dspy.BaseLM,
    config: JointSearchConfig,
    out: Path,
) -> Improvement:
    """Search the whole program, choose a trial, compare it with the program before, save it.

    A search that was killed continues with the same command: the study is kept beside the program
    or in ``config.location.storage``, the LM's answers beside the program.

    Args:
        name: of the program to start from.
        program: it; its registry must be the dataset's.
        manifest: of it.
        config: what the search may try and spend.
        out: folder of the improved program.

    Raises:
        InputError: a split is empty, no trial was finished within the limits, or the folder
            beside ``out`` holds a search of something else.
        LMError: the LM did not answer.
    """
    for split in _SPLITS:
        if not dataset.splits[split]:
            raise InputError(f"{dataset.path}: no {split} requests; joint needs them")
    embedder = program.retrieve.library.embed.id
    identity = _identity(program, dataset, lm, config)
    tags = run_tags(
        "joint", dataset, optimizer=" ".join(config.optimizers), lm=lm, embedder=embedder
    )
    run_key, run_title = f"run-{store.digest()}", f"joint: {run_name(tags)}"
    written = prompt_texts(program)
    with (
        Checkpoint(checkpoint_folder(out), identity, on_change=refuse, out=out) as checkpoint,
        ResponseCache(checkpoint.folder / "answers.jsonl", config.max_lm_calls) as answers,
        track.run(run_title, tags, checkpoint.load(run_key)) as run,
    ):
        checkpoint.save(run_key, run.id)
        params = _params(config, tags, name)
        run.log_params(params)
        run.log_dataset(dataset)
        run.begin_model(run_title, params)
        storage = config.location.storage or checkpoint.journal
        location = replace(config.location, storage=storage, identity=digest_of(identity))
        config = replace(config, location=location)
        trials, prompts = joint_search(program, dataset, lm, config, answers)
        run.log_joint_trials(trials, front(trials))
        chosen = _choose(trials, config.max_tokens_per_task)
        improved, fitted = apply_trial(program, dataset, chosen, prompts, _target(name, manifest))
        done = _compare(name, program, improved, dataset, lm, trials, chosen)
        record = _manifest(name, manifest, improved, dataset, lm, done, fitted)
        save(improved, out, record | {"mlflow_run_id": run.id})
        _track(run, done, out, written, prompt_texts(improved))
        checkpoint.remove()
    return done


def _track(
    run: track.Run,
    done: Improvement,
    out: Path,
    before: Mapping[str, str],
    after: Mapping[str, str],
) -> None:
    """Log the improved program, and its prompts before and after."""
    chosen = done.chosen
    run.log_reports(done.reports)
    run.log_program(out)
    message = f"{chosen.prompt}, {chosen.demos} demos: trial {chosen.number} of a joint search"
    run.log_prompts(before, after, message, {"run": run.id})
    run.set_note(done.table())


def _params(config: JointSearchConfig, tags: Mapping[str, str], name: str) -> dict[str, Any]:
    """Return the settings by which joint searches are told apart."""
    named = {key: tags[key] for key in ("data", "lm", "embedder", "optimizer")}
    own = ("trials", "optimizer_calls", "max_tokens_per_task", "max_lm_calls", "seed")
    return named | {"program": name} | {key: getattr(config, key) for key in own}


def _identity(
    program: Delegator, dataset: Dataset, lm: dspy.BaseLM, config: JointSearchConfig
) -> dict[str, Any]:
    """Return what a trial's result depends on; the number of trials is not part of it."""
    return identity_of(
        dataset,
        program=digest_of(program.dump_state()),
        embedder=program.retrieve.library.embed.id,
        lm=str(lm.model),
        optimizers=config.optimizers,
        calls=config.optimizer_calls,
        max_tokens_per_task=config.max_tokens_per_task,
        seed=config.seed,
    )


def _choose(trials: Sequence[JointTrial], max_tokens_per_task: float | None) -> JointTrial:
    """Return the cheapest trial within a standard error of the best, under the limit of tokens.

    Raises:
        InputError: no trial was finished within the limit.
    """
    within = [t for t in trials if max_tokens_per_task is None or t.tokens <= max_tokens_per_task]
    if not within:
        raise InputError(
            "joint: no trial finished within the limits; raise --max-lm-calls or --max-tokens"
        )
    return cheapest(within)


def _compare(
    name: str,
    program: Delegator,
    improved: Delegator,
    dataset: Dataset,
    lm: dspy.BaseLM,
    trials: list[JointTrial],
    chosen: JointTrial,
) -> Improvement:
    """Compare the improved program with the one before, and evaluate it, on each split."""
    pair = [("joint", improved), (name, program)]
    return Improvement(
        trials=trials,
        chosen=chosen,
        comparisons={split: compare_programs(pair, dataset, split, lm=lm) for split in _SPLITS},
        reports={s: evaluate(improved, dataset, s, name=s, lm=lm) for s in _SPLITS},
    )


def _target(name: str, manifest: Mapping[str, Any]) -> Target:
    """Return what a program's threshold was chosen for."""
    return read_target(manifest.get("calibration") or {}, f"{name}: calibration")


def _manifest(
    name: str,
    manifest: Mapping[str, Any],
    improved: Delegator,
    dataset: Dataset,
    lm: dspy.BaseLM,
    done: Improvement,
    fitted: Calibration,
) -> dict[str, Any]:
    """Return the manifest of the improved program, from that of the program before."""
    return {
        **manifest,
        **provenance(dataset, before=manifest),
        "calibration": fitted.to_json(),
        "lm_stage": None,  # that of the program before
        "knobs": improved.knobs.values.model_dump(),
        "scores": {split: report.to_dict() for split, report in done.reports.items()},
        "joint": {
            "from": name,
            "lm": str(lm.model),
            "trials": len(done.trials),
            "chosen": done.chosen.number,
            "prompt": done.chosen.prompt,
            "versus": {split: asdict(comparison) for split, comparison in done.comparisons.items()},
        },
    }
