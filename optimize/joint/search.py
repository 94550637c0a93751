"""Joint search of retrieval, expansion, prompt and gate: top-1 against LM tokens.

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

from optimize.calibration import TARGET_PRECISION, Calibration, calibrate
from optimize.data import Dataset, Request
from optimize.evaluation import delegate_measured
from optimize.lm_stage import CachedClassify, CachedExpand, OutOfCallsError, ResponseCache
from optimize.prompts import OptimizerInputs, examples, optimize, right_slot, slot_feedback
from optimize.search import (
    HEAD_C,
    LEAN,
    ScoredRequests,
    StudyLocation,
    fit_weights,
    keep_table,
    measure,
    open_study,
    run_trials,
    trial_pruned,
    wilcoxon_pruner,
)
from task_delegator.decision import Target
from task_delegator.delegator import Delegator
from task_delegator.knobs import KnobValues
from task_delegator.retrieval import CHANNELS

PLAIN = "plain"
_WEIGHTS = (*CHANNELS, "bm25_k1", "bm25_b", "passages", "passages_beside_samples")
_MAX_K, _MAX_DEMOS = 10, 2
_OPTIMIZER_VALIDATION = 8  # train requests on which an optimizer compares its candidates
_EXPANSIONS = {"none": (0, False), "phrasings": (2, False), "hyde": (0, True)}


@dataclass(frozen=True, slots=True)
class JointSearchConfig:
    """Configuration of a joint search: search space and limits.

    Attributes:
        location: storage of the study.
        trials: number of trials that the study has at the end, earlier ones included.
        optimizers: DSPy optimizers whose prompts are tried besides the plain prompt.
        optimizer_calls: limit of LM calls of each of these optimizers.
        max_tokens_per_task: limit of LM tokens; top-1 is then the only objective. None for both
            objectives.
        max_lm_calls: limit of LM calls of this process; trials that need more are pruned.
    """

    location: StudyLocation
    trials: int = 40
    optimizers: tuple[str, ...] = ("labeled-few-shot", "bootstrap")
    optimizer_calls: int = 60
    max_tokens_per_task: float | None = None
    max_lm_calls: int = 3000
    seed: int = 0


@dataclass(frozen=True, slots=True)
class JointTrial:
    """One setting of the whole program and its results on validation.

    Attributes:
        prompt: ``plain``, or the optimizer that wrote it.
        demos: limit of demos in the prompt.
        correct: per validation request whether its first-ranked agent is acceptable.
        tokens: mean LM tokens per task.
    """

    number: int
    knobs: KnobValues
    prompt: str
    demos: int
    correct: tuple[bool, ...]
    tokens: float

    def to_json(self) -> dict[str, Any]:
        """Return the trial as plain JSON values."""
        plain = {"knobs": self.knobs.model_dump(), "correct": [int(c) for c in self.correct]}
        return asdict(self) | plain

    @property
    def top1(self) -> float:
        """Share of requests whose first-ranked agent is acceptable."""
        return float(np.mean(self.correct))


def joint_search(
    program: Delegator,
    dataset: Dataset,
    lm: dspy.BaseLM,
    config: JointSearchConfig,
    answers: ResponseCache,
) -> tuple[list[JointTrial], dict[str, dspy.Predict]]:
    """Return every finished trial, and the prompts by name.

    The first trial is the program without its LM, the second has the LM asked where retrieval is
    less than half sure.

    Raises:
        InputError: the storage cannot be opened, or holds the study of something else.
        LMError: the LM did not answer.
    """
    requests = list(dataset.splits["validation"])
    place_of = {request: place for place, request in enumerate(requests)}
    random.Random(config.seed).shuffle(requests)
    places = [place_of[request] for request in requests]
    alone = _parameters(program.knobs.values)
    single = config.max_tokens_per_task is not None
    study = open_study(
        config.location,
        [alone, {**alone, "gate": 0.5, "lm": 0.5}],
        seed=config.seed,
        directions=("maximize",) if single else ("maximize", "minimize"),
        pruner=wilcoxon_pruner() if single else None,
    )
    prompts = {PLAIN: program.classify.select}
    for name in config.optimizers:
        prompts |= _optimize_prompt_once(name, study, program, dataset, lm, config)
    run_trial = _TrialRunner(program, dataset, requests, lm, prompts, answers)

    def objective(trial: Any) -> Any:
        point = run_trial(trial, report=single)
        trial.set_user_attr("point", point.to_json())
        correct = [int(right) for right in point.correct]
        keep_table(
            config.location.artifacts, trial, "answers", {"request": places, "right": correct}
        )
        if not single:
            return point.top1, point.tokens
        trial.set_constraint("tokens", point.tokens - (config.max_tokens_per_task or 0.0))
        return point.top1

    done = run_trials(study, objective, config.trials)
    trials = [_trial_from_json(t.user_attrs["point"]) for t in done if "point" in t.user_attrs]
    return trials, prompts


def front(trials: Sequence[JointTrial]) -> list[JointTrial]:
    """Return the Pareto front of top-1 and tokens, cheapest trial first."""
    front_points: list[JointTrial] = []
    for point in sorted(trials, key=lambda p: (p.tokens, -p.top1, p.number)):
        if not front_points or point.top1 > front_points[-1].top1:
            front_points.append(point)
    return front_points


def cheapest(trials: Sequence[JointTrial]) -> JointTrial:
    """Return the cheapest trial of the front within one standard error of the highest top-1.

    The standard error is that of the paired difference, the square root of the number of requests
    on which the two differ.
    """
    front_points = front(trials)
    best = np.array(front_points[-1].correct)

    def close(point: JointTrial) -> bool:
        correct = np.array(point.correct)
        return int(best.sum() - correct.sum()) ** 2 <= int((correct != best).sum())

    return next(filter(close, front_points))


def apply_trial(
    program: Delegator,
    dataset: Dataset,
    point: JointTrial,
    prompts: Mapping[str, dspy.Predict],
    target: Target,
) -> tuple[Delegator, Calibration]:
    """Return a copy of the program with a trial's setting, and its calibrated confidence.

    Where the LM is asked, the confidence is that of retrieval, of the posterior that both pool.

    Args:
        program, dataset: what was searched.
        point: the trial.
        prompts: that the search tried, by name.
        target: what the precision of everything that is assigned shall be.
    """
    copy = program.deepcopy()
    copy.knobs.values = point.knobs
    aims = target.precision, target.out_of_scope_share, target.delta
    calibration = calibrate(copy, dataset, *aims)
    copy.knobs.set({"lm.gate": point.knobs.lm.gate, "lm.weight": point.knobs.lm.weight})
    copy.classify.select = with_demos(prompts[point.prompt], point.demos)
    return copy, calibration


def with_demos(select: dspy.Predict, number: int) -> dspy.Predict:
    """Return a copy of a prompt with its first demos."""
    copy = select.deepcopy()
    copy.demos = copy.demos[:number]
    return copy


class _TrialRunner:
    """Evaluate settings on the same requests in the same order."""

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
        # What a reranker's scores weigh was fitted together with the posterior's scale.
        own = program.knobs.values
        alone = measure(self._scored, own).knobs.retrieval.temperature
        self._scale = own.retrieval.temperature / alone if own.retrieval.rerank else 1.0
        self._calibrated: dict[KnobValues, KnobValues] = {}
        self._expand = CachedExpand(self._program.expand, answers)
        self._program.expand = self._expand

    def __call__(self, trial: Any, report: bool) -> JointTrial:
        knobs = self._knobs(trial)
        prompt = trial.suggest_categorical("prompt", list(self._prompts))
        demos = trial.suggest_int("demos", 0, _MAX_DEMOS)
        classify = CachedClassify(with_demos(self._prompts[prompt], demos), self._answers)
        self._program.classify = classify
        self._program.knobs.values = knobs
        before = self._expand.tokens
        correct = []
        bar = tqdm(self._requests, desc=f"trial {trial.number}", delay=3, leave=False)
        with dspy.context(lm=self._lm, disable_history=True):
            for step, request in enumerate(bar):
                try:
                    delegation = delegate_measured(self._program, request.text)
                except OutOfCallsError:
                    raise trial_pruned() from None
                best = delegation.evidence.ranking[:1]
                correct.append(bool(best and best[0] in request.acceptable))
                if report:
                    trial.report(float(correct[-1]), step)
                    if trial.should_prune():
                        raise trial_pruned()
        tokens = classify.tokens + self._expand.tokens - before
        return JointTrial(
            trial.number, knobs, prompt, demos, tuple(correct), tokens / len(self._requests)
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
            "k": trial.suggest_int("k", 3, _MAX_K),
        }
        retrieval = self._fusions["program"].replaced(
            {f"retrieval.{name}": value for name, value in given.items()}
        )
        measured = measure(self._scored, retrieval).knobs
        temperature = self._scale * measured.retrieval.temperature
        measured = measured.replaced({"retrieval.temperature": temperature})
        return self._calibrate(measured).replaced(
            {
                "transfer.assign_threshold": None,  # it was fitted to other weights
                "lm.shortlist": given["k"],
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
        """Return the knobs with a calibrated confidence, which the gate compares."""
        if knobs not in self._calibrated:
            self._program.knobs.values = knobs
            calibrate(self._program, self._dataset, TARGET_PRECISION)
            self._calibrated[knobs] = self._program.knobs.values
        return self._calibrated[knobs]


def _parameters(knobs: KnobValues) -> dict[str, Any]:
    """Return a program's setting as parameters of the search, without the LM."""
    return {
        "fusion": "program",
        "expand": "none",
        "head_c": knobs.retrieval.head_c,
        "k": min(max(knobs.retrieval.k, 3), _MAX_K),
        "gate": 0.0,
        "lm": 0.0,
        "orders": 2,
        "prompt": PLAIN,
        "demos": 0,
    }


def _optimize_prompt_once(
    name: str,
    study: Any,
    program: Delegator,
    dataset: Dataset,
    lm: dspy.BaseLM,
    config: JointSearchConfig,
) -> dict[str, dspy.Predict]:
    """Return the prompt that an optimizer writes, once for all processes of a study."""
    key, select = f"prompt {name}", program.classify.select
    if key not in study.user_attrs:
        shown = examples(program, dataset.splits["train"], config.seed)
        inputs = OptimizerInputs(
            calls=config.optimizer_calls,
            trainset=shown[_OPTIMIZER_VALIDATION:],
            valset=shown[:_OPTIMIZER_VALIDATION],
            metric=right_slot,
            feedback=slot_feedback,
            teacher=lm,
            seed=config.seed,
        )
        made = optimize(name, select, lm, inputs).select
        study.set_user_attr(key, None if made is None else made.dump_state())
    state = study.user_attrs[key]
    if state is None:
        return {}
    restored = select.deepcopy()
    restored.load_state(state)
    return {name: restored}


def _trial_from_json(values: Mapping[str, Any]) -> JointTrial:
    return JointTrial(
        **{
            **values,
            "knobs": KnobValues.read(values["knobs"]),
            "correct": tuple(bool(c) for c in values["correct"]),
        }
    )
