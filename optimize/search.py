"""Search the retrieval knobs with Optuna: the only file that imports it."""

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import optuna

from optimize.fusion import BM25_B, BM25_K1, HEAD_C, ScoredRequests, fit_temperature
from task_delegator.errors import InputError
from task_delegator.knobs import KnobValues
from task_delegator.retrieve import CHANNELS

MIN_RECALL = 0.95  # of the shortlist on validation: what the LM cannot see it cannot pick
_PLACE_COST = 0.0005  # of top-1 per place on the shortlist: no longer than it needs to be


@dataclass(frozen=True, slots=True)
class Trial:
    """One setting of the knobs and how it did on validation."""

    number: int
    knobs: KnobValues
    top1: float
    recall_at_k: float
    log_likelihood: float

    def metrics(self) -> dict[str, float]:
        """Return what to log of the trial."""
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
    study_name: str = "retrieval",
    storage: str | None = None,
    identity: str = "",
) -> tuple[KnobValues, list[Trial]]:
    """Return the chosen knobs and every trial.

    Objective: top-1 on the scored requests, with recall@k of at least ``MIN_RECALL`` as a
    constraint. Top-1 on a few hundred requests is a coarse measure: among the feasible
    trials within one standard error of the best, the likeliest is chosen (the
    one-standard-error rule of Breiman et al., 1984), with the shortest shortlist that
    keeps the recall.

    Args:
        scored: validation requests with their channels.
        starts: settings to try first, the baseline among them.
        trials: how many trials the study shall have in the end.
        seed: of the sampler.
        study_name, storage: to resume a study, an Optuna storage URL.
        identity: of registry and embedder; a study of another one is not continued.

    Raises:
        InputError: the storage cannot be opened, or holds the study of something else.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        study = optuna.create_study(
            study_name=study_name,
            storage=storage,
            direction="maximize",
            sampler=optuna.samplers.TPESampler(seed=seed),
            load_if_exists=True,
        )
    except Exception as error:  # SQLAlchemy's and Optuna's own types
        kind = str(storage).partition("://")[0]  # the rest may hold a password
        raise InputError(
            f"--storage {kind}://...: cannot be opened ({type(error).__name__}); check the URL"
        ) from error
    if study.user_attrs.get("identity", identity) != identity:
        raise InputError(
            f"study {study_name!r} belongs to another registry or embedder; name another --study"
        )
    study.set_user_attr("identity", identity)

    def objective(trial: optuna.Trial) -> float:
        measured = measure(scored, _suggest(trial), trial.number)
        trial.set_constraint("recall", MIN_RECALL - measured.recall_at_k)
        trial.set_user_attr("knobs", asdict(measured.knobs))
        trial.set_user_attr("metrics", measured.metrics())
        return measured.top1 - _PLACE_COST * measured.knobs.k

    if not study.trials:
        for start in starts:
            study.enqueue_trial(_parameters(start))
    study.optimize(objective, n_trials=max(0, trials - len(study.trials) + _waiting(study)))
    done = [
        Trial(trial.number, KnobValues(**trial.user_attrs["knobs"]), **trial.user_attrs["metrics"])
        for trial in study.get_trials(states=(optuna.trial.TrialState.COMPLETE,))
    ]
    return shortest(scored, choose(scored, done).knobs), done


def measure(scored: ScoredRequests, knobs: KnobValues, number: int = 0) -> Trial:
    """Return how a setting does, at its likeliest temperature."""
    fused = scored.fused(knobs)
    knobs = replace(knobs, temperature=fit_temperature(scored, fused))
    ranks = scored.ranks(fused)
    return Trial(
        number=number,
        knobs=knobs,
        top1=float(np.mean(ranks == 1)),
        recall_at_k=float(np.mean(ranks <= knobs.k)),
        log_likelihood=scored.log_likelihood(fused, knobs.temperature),
    )


def shortest(scored: ScoredRequests, knobs: KnobValues) -> KnobValues:
    """Return the knobs with the shortest shortlist that keeps the recall, 3 to 19 places."""
    ranks = scored.ranks(scored.fused(knobs))
    places = (k for k in range(3, 19) if float(np.mean(ranks <= k)) >= MIN_RECALL)
    return replace(knobs, k=next(places, 19))


def choose(scored: ScoredRequests, trials: list[Trial]) -> Trial:
    """Return the likeliest trial within one standard error of the best feasible top-1.

    The error is that of the paired difference: trials mostly agree on the same requests.
    """
    feasible = [trial for trial in trials if trial.recall_at_k >= MIN_RECALL]
    if not feasible:
        # A registry too hard for the constraint still needs knobs: the longest reach wins.
        reach = max(trial.recall_at_k for trial in trials)
        feasible = [trial for trial in trials if trial.recall_at_k == reach]
    best = max(feasible, key=lambda trial: (trial.top1, trial.log_likelihood, -trial.number))
    first = _right(scored, best)

    def close(trial: Trial) -> bool:
        differing = int((_right(scored, trial) != first).sum())
        return (best.top1 - trial.top1) * len(first) <= np.sqrt(differing)

    return max(
        (trial for trial in feasible if close(trial)),
        key=lambda trial: (trial.log_likelihood, -trial.number),
    )


def _right(scored: ScoredRequests, trial: Trial) -> np.ndarray:
    return scored.ranks(scored.fused(trial.knobs)) == 1


def _suggest(trial: optuna.Trial) -> KnobValues:
    weights: dict[str, Any] = {c: trial.suggest_float(c, 0.0, 2.0) for c in CHANNELS}
    if not trial.suggest_categorical("head_on", [True, False]):
        weights["head"] = 0.0
    return KnobValues(
        k=trial.suggest_int("k", 3, 19),
        bm25_k1=trial.suggest_categorical("bm25_k1", BM25_K1),
        bm25_b=trial.suggest_categorical("bm25_b", BM25_B),
        head_c=trial.suggest_categorical("head_c", HEAD_C),
        **weights,
    )


def _parameters(knobs: KnobValues) -> dict[str, Any]:
    searched = (*CHANNELS, "k", "bm25_k1", "bm25_b", "head_c")
    values = {name: getattr(knobs, name) for name in searched}
    return {**values, "head_on": knobs.head > 0}


def _waiting(study: optuna.Study) -> int:
    return len(study.get_trials(states=(optuna.trial.TrialState.WAITING,)))
