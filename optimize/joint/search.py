"""Search the whole program at once: retrieval, expansion, prompt and gate.

Two competing objectives, top-1 on validation and LM tokens per task, with their Pareto front; or
top-1 under a limit of tokens, where trials that are worse on the same requests are pruned.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import dspy
import numpy as np
from tqdm import tqdm

from optimize.calibration import TARGET_PRECISION, calibrate
from optimize.data import Dataset, Request
from optimize.lm_stage import (
    CachedClassify,
    CachedExpand,
    OutOfCallsError,
    ResponseCache,
)
from optimize.prompts import OptimizerInputs, examples, optimize, right_slot, slot_feedback
from optimize.search import (
    HEAD_C,
    LEAN,
    ScoredRequests,
    StudyLocation,
    finish,
    fit_weights,
    measure,
    open_study,
    pruned,
    wilcoxon,
)
from task_delegator.delegator import Delegator
from task_delegator.knobs import KnobValues
from task_delegator.retrieval import CHANNELS

PLAIN = "plain"
_WEIGHTS = (*CHANNELS, "bm25_k1", "bm25_b", "passages", "passages_beside_samples")
_MOST_K, _MOST_DEMOS = 10, 2
_HELD_OUT = 8  # train requests on which an optimizer compares its candidates
_EXPANSIONS = {"none": (0, False), "phrasings": (2, False), "hyde": (0, True)}


@dataclass(frozen=True, slots=True)
class JointSearchConfig:
    """What a joint search may try and spend.

    Attributes:
        place: where the study is kept.
        trials: that the study shall have in the end.
        optimizers: whose prompts are tried beside the plain one; each gets ``calls`` LM calls.
        most_tokens: per task; then top-1 is the one objective. None for both objectives.
        most_calls: LM calls of this process in all; trials that need more are pruned.
    """

    place: StudyLocation
    trials: int = 40
    optimizers: tuple[str, ...] = ("labeled-few-shot", "bootstrap")
    calls: int = 60
    most_tokens: float | None = None
    most_calls: int = 3000
    seed: int = 0


@dataclass(frozen=True, slots=True)
class JointTrial:
    """One setting of the whole program and how it did on validation.

    Attributes:
        prompt: plain, or the optimizer that made it.
        demos: of the prompt, at most.
        right: per validation request, in the search's order.
        tokens: of the LM, per task.
    """

    number: int
    knobs: KnobValues
    prompt: str
    demos: int
    right: tuple[bool, ...]
    tokens: float

    def to_json(self) -> dict[str, Any]:
        """Return the trial as plain JSON values."""
        plain = {"knobs": self.knobs.model_dump(), "right": [int(r) for r in self.right]}
        return asdict(self) | plain

    @property
    def top1(self) -> float:
        """Share of the requests whose right agent comes first."""
        return float(np.mean(self.right))


def joint_search(
    program: Delegator,
    dataset: Dataset,
    lm: dspy.BaseLM,
    scope: JointSearchConfig,
    answers: ResponseCache,
) -> tuple[list[JointTrial], dict[str, dspy.Predict]]:
    """Return every finished trial, and the prompts that were tried.

    The first trial is the program without its LM, the second has the LM asked where retrieval is
    less than half sure.

    Raises:
        InputError: the storage cannot be opened, or holds the study of something else.
        LMError: the LM did not answer.
    """
    requests = list(dataset.splits["validation"])
    random.Random(scope.seed).shuffle(requests)
    alone = _parameters(program.knobs.values)
    single = scope.most_tokens is not None
    study = open_study(
        scope.place,
        [alone, {**alone, "gate": 0.5, "lm": 0.5}],
        seed=scope.seed,
        directions=("maximize",) if single else ("maximize", "minimize"),
        pruner=wilcoxon() if single else None,
    )
    prompts = {PLAIN: program.classify.select}
    for name in scope.optimizers:
        prompts |= _prompt(name, study, program, dataset, lm, scope)
    tried = _Tried(program, dataset, requests, lm, prompts, answers)

    def objective(trial: Any) -> Any:
        point = tried(trial, report=single)
        trial.set_user_attr("point", point.to_json())
        if not single:
            return point.top1, point.tokens
        trial.set_constraint("tokens", point.tokens - (scope.most_tokens or 0.0))
        return point.top1

    done = finish(study, objective, scope.trials)
    points = [_point(t.user_attrs["point"]) for t in done if "point" in t.user_attrs]
    return points, prompts


def front(points: Sequence[JointTrial]) -> list[JointTrial]:
    """Return the points that no other beats in both top-1 and tokens, cheapest first."""
    kept: list[JointTrial] = []
    for point in sorted(points, key=lambda p: (p.tokens, -p.top1, p.number)):
        if not kept or point.top1 > kept[-1].top1:
            kept.append(point)
    return kept


def cheapest(points: Sequence[JointTrial]) -> JointTrial:
    """Return the cheapest of the front within one standard error of the best.

    The standard error is that of the paired difference, the square root of the number of requests
    on which the two differ.
    """
    kept = front(points)
    best = np.array(kept[-1].right)

    def close(point: JointTrial) -> bool:
        right = np.array(point.right)
        return int(best.sum() - right.sum()) ** 2 <= int((right != best).sum())

    return next(filter(close, kept))


def settled(
    program: Delegator, dataset: Dataset, point: JointTrial, prompts: Mapping[str, dspy.Predict]
) -> Delegator:
    """Return a copy of the program with a point's setting, its confidence calibrated."""
    copy = program.deepcopy()
    copy.knobs.values = point.knobs
    calibrate(copy, dataset, TARGET_PRECISION)
    copy.knobs.set({"lm.gate": point.knobs.lm.gate, "lm.weight": point.knobs.lm.weight})
    copy.classify.select = with_demos(prompts[point.prompt], point.demos)
    return copy


def with_demos(select: dspy.Predict, number: int) -> dspy.Predict:
    """Return a copy of a prompt with its first demos."""
    copy = select.deepcopy()
    copy.demos = copy.demos[:number]
    return copy


class _Tried:
    """Try settings on the same requests in the same order."""

    def __init__(
        self,
        program: Delegator,
        dataset: Dataset,
        requests: Sequence[Request],
        lm: dspy.BaseLM,
        prompts: Mapping[str, dspy.Predict],
        answers: ResponseCache,
    ) -> None:
        self._program, self._dataset, self._lm = program.deepcopy(), dataset, lm
        self._requests, self._prompts, self._answers = requests, prompts, answers
        index = program.retrieve.library.index(program.retrieve.learned.values)
        self._scored = ScoredRequests(index, requests)
        fitted = ScoredRequests(index, dataset.splits["train"] or requests)
        self._fusions = {
            "program": program.knobs.values,
            "fitted": fit_weights(fitted, KnobValues()),
            "lean": fit_weights(fitted, KnobValues(), LEAN),
        }
        self._calibrated: dict[KnobValues, KnobValues] = {}
        self._expand = CachedExpand(self._program.expand, answers)
        self._program.expand = self._expand

    def __call__(self, trial: Any, report: bool) -> JointTrial:
        knobs = self._knobs(trial)
        prompt = trial.suggest_categorical("prompt", list(self._prompts))
        demos = trial.suggest_int("demos", 0, _MOST_DEMOS)
        classify = CachedClassify(with_demos(self._prompts[prompt], demos), self._answers)
        self._program.classify = classify
        self._program.knobs.values = knobs
        before = self._expand.tokens
        right = []
        bar = tqdm(self._requests, desc=f"trial {trial.number}", delay=3, leave=False)
        with dspy.context(lm=self._lm, disable_history=True):
            for step, request in enumerate(bar):
                try:
                    delegation = self._program(request.text)
                except OutOfCallsError:
                    raise pruned() from None
                best = delegation.evidence.ranking[:1]
                right.append(bool(best and best[0] in request.acceptable))
                if report:
                    trial.report(float(right[-1]), step)
                    if trial.should_prune():
                        raise pruned()
        tokens = classify.tokens + self._expand.tokens - before
        return JointTrial(
            trial.number, knobs, prompt, demos, tuple(right), tokens / len(self._requests)
        )

    def _knobs(self, trial: Any) -> KnobValues:
        fusion = trial.suggest_categorical("fusion", [*self._fusions, "free"])
        if fusion == "free":
            given = {c: trial.suggest_float(c, 0.0, 2.0) for c in CHANNELS}
        else:
            start = self._fusions[fusion].retrieval
            given = {name: getattr(start, name) for name in _WEIGHTS}
        phrasings, hyde = _EXPANSIONS[trial.suggest_categorical("expand", list(_EXPANSIONS))]
        given |= {
            "head_c": trial.suggest_categorical("head_c", HEAD_C),
            "k": trial.suggest_int("k", 3, _MOST_K),
        }
        retrieval = self._fusions["program"].replaced(
            {f"retrieval.{name}": value for name, value in given.items()}
        )
        return self._calibrate(measure(self._scored, retrieval).knobs).replaced(
            {
                "lm.gate": trial.suggest_float("gate", 0.0, 1.0),
                "lm.weight": trial.suggest_float("lm", 0.0, 1.5),
                "lm.orders": trial.suggest_int("orders", 1, 2),
                "lm.second_order_margin": None,
                "lm.repeats": 1,
                "expansion.phrasings": phrasings,
                "expansion.hyde": hyde,
            }
        )

    def _calibrate(self, knobs: KnobValues) -> KnobValues:
        """Return the knobs with the confidence of their retrieval, which the gate reads."""
        if knobs not in self._calibrated:
            self._program.knobs.values = knobs
            calibrate(self._program, self._dataset, TARGET_PRECISION)
            self._calibrated[knobs] = self._program.knobs.values
        return self._calibrated[knobs]


def _parameters(knobs: KnobValues) -> dict[str, Any]:
    """Return a program's own setting as the search names it, with the LM's word left out."""
    return {
        "fusion": "program",
        "expand": "none",
        "head_c": knobs.retrieval.head_c,
        "k": min(max(knobs.retrieval.k, 3), _MOST_K),
        "gate": 0.0,
        "lm": 0.0,
        "orders": 2,
        "prompt": PLAIN,
        "demos": 0,
    }


def _prompt(
    name: str,
    study: Any,
    program: Delegator,
    dataset: Dataset,
    lm: dspy.BaseLM,
    scope: JointSearchConfig,
) -> dict[str, dspy.Predict]:
    """Return what an optimizer makes of the prompt, once for all processes of a study."""
    key, select = f"prompt {name}", program.classify.select
    if key not in study.user_attrs:
        shown = examples(program, dataset.splits["train"], scope.seed)
        brief = OptimizerInputs(
            calls=scope.calls,
            trainset=shown[_HELD_OUT:],
            valset=shown[:_HELD_OUT],
            metric=right_slot,
            feedback=slot_feedback,
            teacher=lm,
            seed=scope.seed,
        )
        made = optimize(name, select, lm, brief).select
        study.set_user_attr(key, None if made is None else made.dump_state())
    state = study.user_attrs[key]
    if state is None:
        return {}
    again = select.deepcopy()
    again.load_state(state)
    return {name: again}


def _point(values: Mapping[str, Any]) -> JointTrial:
    return JointTrial(
        **{
            **values,
            "knobs": KnobValues.read(values["knobs"]),
            "right": tuple(bool(r) for r in values["right"]),
        }
    )
