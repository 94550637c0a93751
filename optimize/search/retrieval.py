"""Search the retrieval knobs on validation: channel weights, BM25, head, k."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from optimize.evaluation import BM25_B, BM25_K1
from optimize.search.fit import HEAD_C, fit_temperature, with_reading
from optimize.search.scored import READINGS, ScoredRequests
from optimize.search.study import StudyLocation, keep_table, open_study, run_trials
from task_delegator.knobs import KnobValues, RetrievalKnobs
from task_delegator.retrieval import CHANNELS, reading_of

MIN_RECALL = 0.95  # of the shortlist on validation: what the LM cannot see it cannot pick
_IN_MEMORY = StudyLocation("retrieval")
_SHORTLIST_COST = 0.0005  # of top-1 per place on the shortlist: no longer than it needs to be


@dataclass(frozen=True, slots=True)
class Trial:
    """One setting of the knobs and its scores on validation."""

    number: int
    knobs: KnobValues
    top1: float
    recall_at_k: float
    log_likelihood: float

    def metrics(self) -> dict[str, float]:
        """Return the scores by name."""
        return {
            "top1": self.top1,
            "recall_at_k": self.recall_at_k,
            "log_likelihood": self.log_likelihood,
        }


def search(
    scored: ScoredRequests,
    starts: list[KnobValues],
    *,
    trials: int,
    seed: int,
    location: StudyLocation = _IN_MEMORY,
) -> tuple[KnobValues, list[Trial]]:
    """Return the chosen knobs and every trial.

    Objective: top-1 on the scored requests, with recall@k of at least ``MIN_RECALL`` as a
    constraint. Top-1 on a few hundred requests is a coarse measure: among the feasible
    trials within one standard error of the best, the likeliest is chosen (the
    one-standard-error rule of Breiman et al., 1984), with the shortest shortlist that
    keeps the recall.

    ``k`` is drawn by every trial although it changes no ranking: a shorter shortlist costs a
    little of the objective, and the chosen trial's is replaced by the shortest in the end. It
    stays a dimension because what TPE draws for the others depends on it, and with that every
    number that was published.

    Args:
        scored: validation requests with their channels.
        starts: settings to try first, the baseline among them.
        trials: number of trials that the study has at the end, earlier ones included.
        seed: of the sampler.
        location: where the study is kept, and joined if it is there.

    Raises:
        InputError: the storage cannot be opened, or holds the study of something else, or the
            folder of artifacts cannot be made.
    """

    artifacts = location.artifacts

    def objective(trial: Any) -> float:
        measured = measure(scored, _suggest(trial, scored.readings), trial.number)
        trial.set_constraint("recall", MIN_RECALL - measured.recall_at_k)
        trial.set_user_attr("knobs", measured.knobs.model_dump())
        trial.set_user_attr("metrics", measured.metrics())
        ranks = scored.ranks(scored.fused(measured.knobs)).tolist()
        keep_table(artifacts, trial, "ranks", {"request": range(len(ranks)), "rank": ranks})
        return measured.top1 - _SHORTLIST_COST * measured.knobs.retrieval.k

    started = [parameters(start, scored.readings) for start in starts]
    study = open_study(location, started, seed=seed)
    trials_done = [
        Trial(
            trial.number, KnobValues.read(trial.user_attrs["knobs"]), **trial.user_attrs["metrics"]
        )
        for trial in run_trials(study, objective, trials, location.spread)
    ]
    chosen = choose(scored, trials_done)
    study.set_user_attr("chosen_trial", chosen.number)  # it may not be Optuna's best
    return shorten_shortlist(scored, chosen.knobs), trials_done


def measure(scored: ScoredRequests, knobs: KnobValues, number: int = 0) -> Trial:
    """Score a setting at the temperature of greatest likelihood."""
    fused = scored.fused(knobs)
    knobs = knobs.replaced({"retrieval.temperature": fit_temperature(scored, fused)})
    ranks = scored.ranks(fused)
    return Trial(
        number=number,
        knobs=knobs,
        top1=float(np.mean(ranks == 1)),
        recall_at_k=float(np.mean(ranks <= knobs.retrieval.k)),
        log_likelihood=scored.log_likelihood(fused, knobs.retrieval.temperature),
    )


def shorten_shortlist(scored: ScoredRequests, knobs: KnobValues) -> KnobValues:
    """Return the knobs with the shortest shortlist that keeps the recall, 3 to 19 places."""
    ranks = scored.ranks(scored.fused(knobs))
    places = (k for k in range(3, 19) if float(np.mean(ranks <= k)) >= MIN_RECALL)
    return knobs.replaced({"retrieval.k": next(places, 19)})


def choose(scored: ScoredRequests, trials: list[Trial]) -> Trial:
    """Return the likeliest trial within one standard error of the best feasible top-1.

    The error is that of the paired difference: trials mostly agree on the same requests.
    """
    feasible = [trial for trial in trials if trial.recall_at_k >= MIN_RECALL]
    if not feasible:
        # A registry too hard for the constraint still needs knobs: the longest reach wins.
        reach = max(trial.recall_at_k for trial in trials)
        feasible = [trial for trial in trials if trial.recall_at_k == reach]
    highest = max(feasible, key=lambda trial: (trial.top1, trial.log_likelihood, -trial.number))
    highest_correct = _first_correct(scored, highest)

    def within_standard_error(trial: Trial) -> bool:
        differing = int((_first_correct(scored, trial) != highest_correct).sum())
        return (highest.top1 - trial.top1) * len(highest_correct) <= np.sqrt(differing)

    return max(
        (trial for trial in feasible if within_standard_error(trial)),
        key=lambda trial: (trial.log_likelihood, -trial.number),
    )


def _first_correct(scored: ScoredRequests, trial: Trial) -> np.ndarray:
    return scored.ranks(scored.fused(trial.knobs)) == 1


def _suggest(trial: Any, readings: Sequence[str]) -> KnobValues:
    knobs: dict[str, Any] = {c: trial.suggest_float(c, 0.0, 2.0) for c in CHANNELS}
    if not trial.suggest_categorical("head_on", [True, False]):
        knobs["head"] = 0.0
    knobs |= {
        "k": trial.suggest_int("k", 3, 19),
        "bm25_k1": trial.suggest_categorical("bm25_k1", BM25_K1),
        "bm25_b": trial.suggest_categorical("bm25_b", BM25_B),
        "head_c": trial.suggest_categorical("head_c", HEAD_C),
    }
    suggested = KnobValues(retrieval=RetrievalKnobs(**knobs))
    if not readings:
        return suggested
    return with_reading(suggested, trial.suggest_categorical("passages", readings))


def parameters(knobs: KnobValues, readings: Sequence[str]) -> dict[str, Any]:
    """Return a setting as parameters of the search."""
    searched = (*CHANNELS, "k", "bm25_k1", "bm25_b", "head_c")
    values = {name: getattr(knobs.retrieval, name) for name in searched}
    values["head_on"] = knobs.retrieval.head > 0
    if readings:
        named = (name for name in readings if READINGS[name] == reading_of(knobs))
        values["passages"] = next(named, readings[-1])
    return values
