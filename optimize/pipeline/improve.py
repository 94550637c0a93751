"""Make a better program of a compiled one by a joint search: search, choose, compare, save."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import dspy

from optimize.checkpoint import Checkpoint, beside, digest_of, identity_of, refuse
from optimize.data import Dataset
from optimize.evaluation import PairedComparison, Report, evaluate, versus
from optimize.joint import JointSearchConfig, JointTrial, cheapest, front, joint_search, settled
from optimize.lm_stage import ResponseCache
from optimize.pipeline.compile import provenance
from optimize.tracking import run as track
from optimize.tracking import store
from task_delegator.artifact import save
from task_delegator.delegator import Delegator
from task_delegator.errors import InputError


@dataclass(frozen=True, slots=True)
class Improvement:
    """What a joint search came to.

    Attributes:
        points: every trial that was finished.
        chosen: the cheapest within a standard error of the best.
        reports: of the saved program, by split.
        versus: the saved program against the one it came from, by split.
    """

    points: list[JointTrial]
    chosen: JointTrial
    reports: dict[str, Report]
    versus: dict[str, PairedComparison]

    def table(self) -> str:
        """Return the Pareto front as a markdown table, the chosen point marked."""
        lines = ["| trial | top-1 on validation | LM tokens per task | prompt | gate | LM |"]
        lines += ["|---|---|---|---|---|---|"]
        for point in front(self.points):
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
    scope: JointSearchConfig,
    out: Path,
) -> Improvement:
    """Search, settle on a point, compare with the program it came from, save.

    A search that was killed continues with the same command: the study is kept beside the program
    or in ``scope.place.storage``, the LM's answers beside the program.

    Raises:
        InputError: a split is empty, no trial was finished within the limits, or the folder
            beside ``out`` holds a search of something else.
        LMError: the LM did not answer.
    """
    for split in ("validation", "test"):
        if not dataset.splits[split]:
            raise InputError(f"{dataset.path}: no {split} requests; joint needs them")
    model = str(lm.model)
    # What a trial measured depends on all of this; of how many there are it does not.
    identity = identity_of(
        dataset,
        program=digest_of(program.dump_state()),
        embedder=program.retrieve.library.embed.id,
        lm=model,
        optimizers=scope.optimizers,
        calls=scope.calls,
        most_tokens=scope.most_tokens,
        seed=scope.seed,
    )
    place = replace(scope.place, identity=digest_of(identity))
    run_key = f"run-{store.digest()}"
    tags = {
        "kind": "joint",
        "optimizer": " ".join(scope.optimizers),
        "lm": model,
        "embedder": program.retrieve.library.embed.id,
        "data": str(dataset.path),
        "commit": provenance(dataset)["commit"],
    }
    with (
        Checkpoint(beside(out), identity, on_change=refuse, out=out) as checkpoint,
        ResponseCache(checkpoint.folder / "answers.jsonl", scope.most_calls) as answers,
        track.run(f"joint {dataset.path.name}", tags, checkpoint.kept(run_key)) as run,
    ):
        checkpoint.keep(run_key, run.id)
        run.params(asdict(scope))
        run.dataset(dataset)
        place = replace(place, storage=place.storage or checkpoint.journal)
        points, prompts = joint_search(program, dataset, lm, replace(scope, place=place), answers)
        run.points(points, front(points))
        most = scope.most_tokens
        within = [p for p in points if most is None or p.tokens <= most]
        if not within:
            raise InputError(
                "joint: no trial finished within the limits; raise --max-lm-calls or --max-tokens"
            )
        chosen = cheapest(within)
        made = settled(program, dataset, chosen, prompts)
        pair = [("joint", made), (name, program)]
        found = {split: versus(pair, dataset, split, lm=lm) for split in ("validation", "test")}
        reports = {
            split: evaluate(made, dataset, split, name=split, lm=lm)
            for split in ("validation", "test")
        }
        for split, report in reports.items():
            run.metrics(report.metrics(), f"{split}_")
        record = {
            **manifest,
            **provenance(dataset),
            "knobs": made.knobs.values.model_dump(),
            "scores": {split: report.to_dict() for split, report in reports.items()},
            "joint": {
                "from": name,
                "lm": model,
                "trials": len(points),
                "chosen": chosen.number,
                "prompt": chosen.prompt,
                "versus": {split: asdict(own) for split, own in found.items()},
            },
            "mlflow_run_id": run.id,
        }
        save(made, out, record)
        run.artifact(out)
        done = Improvement(points, chosen, reports, found)
        run.note(done.table())
        checkpoint.remove()
    return done
