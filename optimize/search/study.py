"""Optuna studies that processes share and continue."""

import os
import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, TypeAlias

import optuna
from optuna.artifacts import FileSystemArtifactStore, upload_artifact
from optuna.exceptions import DuplicatedStudyError, UpdateFinishedTrialError
from optuna.storages import BaseStorage, RetryHeartbeatStaleTrialCallback, fail_stale_trials
from optuna.trial import TrialState

from optimize._compat import without_raised_trials
from optimize.search.storages import (
    GRACE_SECONDS,
    STORAGE_ERRORS,
    describe_error,
    experimental,
    open_storage,
)
from task_delegator.errors import InputError

_POLL_SECONDS = 1.0  # between checks of the trials that other processes run
_ENQUEUED, _IDENTITY, _BEGUN, _PROCESS = "enqueued", "identity", "begun", "process"
_DONE = (TrialState.COMPLETE, TrialState.PRUNED)
# Scores of a trial before it may be pruned: of fewer, where some tie as right and wrong do, SciPy
# computes the test from all their signs, a second each time.
_LEAST_PRUNED = 14
Objective: TypeAlias = Callable[[optuna.Trial], Any]
# Runs so many trials of a study elsewhere, and returns when they are finished.
Spread: TypeAlias = Callable[[optuna.Study, Objective, int], None]


@dataclass(frozen=True, slots=True)
class StudyLocation:
    """Where a study is kept.

    Attributes:
        name: of the study.
        storage: where several processes may share it: the URL of a database,
            ``journal:FILE``, ``grpc://HOST:PORT`` of Optuna's proxy, or an Optuna storage. The
            path of a journal is for one process at a time. None for memory.
        identity: of what is searched; a study of something else is not continued.
        artifacts: folder for the tables of trials, which Optuna's dashboard shows; None for none.
        spread: what runs the trials on other machines; None for this process.
    """

    name: str
    storage: str | Path | BaseStorage | None = None
    identity: str = ""
    artifacts: Path | None = None
    spread: Spread | None = None


def open_study(
    location: StudyLocation,
    starts: Sequence[Mapping[str, Any]],
    *,
    seed: int,
    directions: Sequence[Literal["maximize", "minimize"]] = ("maximize",),
    pruner: optuna.pruners.BasePruner | None = None,
) -> optuna.Study:
    """Create a study, or join the one that is there.

    Args:
        location: where it is kept.
        starts: parameters to try first; whoever creates the study enqueues them.
        seed: of the sampler. What a trial tries follows from seed, number and the trials
            before it, so that neither a resumed run nor a second process repeats a draw.
        directions: of each objective.
        pruner: None for none. Like the sampler it is not stored: every process names it.

    Raises:
        InputError: the storage cannot be opened, or holds the study of something else, or the
            folder of artifacts cannot be made.
    """
    if location.artifacts is not None:
        _make_folder(location.artifacts)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    settings: dict[str, Any] = {
        "study_name": location.name,
        "sampler": _SeededByTrialNumber(seed),
        "pruner": pruner or optuna.pruners.NopPruner(),
    }
    try:
        settings["storage"] = storage = open_storage(location.storage)
        study, created = _create_or_join(storage, list(directions), settings)
        if _IDENTITY not in study.user_attrs:
            study.set_user_attr(_IDENTITY, location.identity)
    except STORAGE_ERRORS as error:
        raise InputError(describe_error(location.storage, error)) from error
    if study.user_attrs[_IDENTITY] != location.identity:
        raise InputError(
            f"study {location.name!r} was begun with other data, settings or code; "
            "name another --study"
        )
    if [d.name.lower() for d in study.directions] != list(directions):
        raise InputError(f"study {location.name!r} has other objectives; name another --study")
    alone = isinstance(location.storage, Path)
    if alone:
        _retry_running(study)
    if created or not _wait_for_starts(study, 0 if alone else GRACE_SECONDS):
        for start in starts:
            study.enqueue_trial(dict(start), skip_if_exists=True)
        study.set_user_attr(_ENQUEUED, len(starts))
    return study


def _create_or_join(
    storage: BaseStorage | None, directions: list[Any], settings: dict[str, Any]
) -> tuple[optuna.Study, bool]:
    """Return the study, and whether it was this process that created it: one of all does."""
    if not _is_kept(storage, settings["study_name"]):
        try:
            return optuna.create_study(directions=directions, **settings), True
        except DuplicatedStudyError:
            pass
    return optuna.load_study(**settings), False


def _wait_for_starts(study: optuna.Study, seconds: float) -> bool:
    """Tell whether the process that created a study has enqueued what is tried first.

    Two that do it at once would have the same parameters tried twice.

    Args:
        study: any.
        seconds: after which that process counts as dead.
    """
    deadline = time.monotonic() + seconds
    while _ENQUEUED not in study.user_attrs:
        if time.monotonic() >= deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True


def run_trials(
    study: optuna.Study, objective: Objective, trials: int, spread: Spread | None = None
) -> list[optuna.trial.FrozenTrial]:
    """Run trials until the study has this many finished ones, of all processes; return them.

    Trials of a process that died are tried again after ``GRACE_SECONDS`` seconds. Each trial
    stores the host and the id of its process. The function waits for trials of other processes,
    so every process returns the same trials.

    Args:
        study: see ``open_study``.
        objective: of a trial; it is pickled where the trials are spread.
        trials: of the study at the end.
        spread: what runs them on other machines, and looks after those that died there.
    """

    def tagged_objective(trial: optuna.Trial) -> Any:
        trial.set_user_attr(_PROCESS, f"{platform.node()}:{os.getpid()}")
        trial.set_user_attr(_BEGUN, trial.number)
        return objective(trial)

    if spread is not None:
        return _run_elsewhere(study, tagged_objective, trials, spread)
    started_since: dict[int, float] = {}
    while True:
        with experimental():
            fail_stale_trials(study)
        lost = _retry_dead(study)
        _retry_unbegun(study, started_since)
        states = [trial.state for trial in study.get_trials(deepcopy=False)]
        running = states.count(TrialState.RUNNING) - lost
        done = sum(state in _DONE for state in states)
        if done + running < trials:
            _run_trial(study, tagged_objective)
        elif running:
            time.sleep(_POLL_SECONDS)
        else:
            return completed_trials(study)


def _run_elsewhere(
    study: optuna.Study, objective: Objective, trials: int, spread: Spread
) -> list[optuna.trial.FrozenTrial]:
    """Run what is enqueued here, as two machines could take the same; the rest elsewhere."""
    while (missing := trials - len(completed_trials(study))) > 0:
        if not study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
            spread(study, objective, missing)
            break
        _run_trial(study, objective)
    return completed_trials(study)


def _run_trial(study: optuna.Study, objective: Objective) -> None:
    """Run one trial; what it raises is raised, and not logged besides."""
    with without_raised_trials():
        study.optimize(objective, n_trials=1)


def keep_table(
    artifacts: Path | None, trial: optuna.Trial, name: str, columns: Mapping[str, Sequence[Any]]
) -> None:
    """Keep a table as an artifact of a trial, where the study has a folder for them.

    Args:
        artifacts: the folder; None for none.
        trial: that is running.
        name: of the file, without its ending.
        columns: values by column, equally many of each.

    Raises:
        InputError: it cannot be written.
    """
    if artifacts is None:
        return
    lines = [list(columns), *zip(*columns.values(), strict=True)]
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"{name}.csv"
        path.write_text("".join(",".join(map(str, line)) + "\n" for line in lines))
        store = FileSystemArtifactStore(artifacts)
        with _refused_by(artifacts):
            upload_artifact(artifact_store=store, file_path=str(path), study_or_trial=trial)


def completed_trials(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    """Return the trials that were completed or pruned, by number; MLflow has the newest first."""
    return sorted(study.get_trials(deepcopy=False, states=_DONE), key=lambda trial: trial.number)


def wilcoxon_pruner() -> optuna.pruners.BasePruner:
    """Return a pruner for objectives that report one score per request, in a fixed order.

    It ends trials that are worse than the best by Wilcoxon's signed-rank test.
    """
    with experimental():
        return optuna.pruners.WilcoxonPruner(p_threshold=0.1, n_startup_steps=_LEAST_PRUNED)


def trial_pruned() -> BaseException:
    """Return the exception with which an objective ends its trial early."""
    return optuna.TrialPruned()


def _make_folder(artifacts: Path) -> None:
    with _refused_by(artifacts):
        artifacts.mkdir(parents=True, exist_ok=True)


@contextmanager
def _refused_by(artifacts: Path) -> Iterator[None]:
    """Say in one line that the folder of artifacts takes no file."""
    try:
        yield
    except OSError as error:
        raise InputError(
            f"--artifacts {artifacts}: {error.strerror}; name a folder that can be written"
        ) from error


def _is_kept(storage: BaseStorage | None, name: str) -> bool:
    """Tell whether a storage of MLflow's holds a study.

    It makes a second study of a name where Optuna's own storages refuse to.
    """
    find = getattr(storage, "get_study_id_by_name_if_exists", None)
    return find is not None and find(name) is not None


def _retry_running(study: optuna.Study) -> None:
    """Retry the running trials of a dead process; no other process uses the study.

    Optuna's own retry goes by heartbeats, which a journal does not have.
    """
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        _retry(study, trial)


def _retry_dead(study: optuna.Study) -> int:
    """Retry the trials of processes of this machine that are no more.

    Optuna's own retry goes by heartbeats, which only databases have: not journals, not the
    gRPC proxy, not MLflow.

    Returns:
        How many could not be ended; MLflow's storage finds no trial by its number.
    """
    lost = 0
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        host, _, process = str(trial.user_attrs.get(_PROCESS, "")).rpartition(":")
        begun = trial.user_attrs.get(_BEGUN) == trial.number  # a retried one has its forerunner's
        if begun and host == platform.node() and not _is_alive(int(process)):
            try:
                _retry(study, trial)
            except NotImplementedError:
                lost += 1
    return lost


def _is_alive(process: int) -> bool:
    if os.name != "posix":  # elsewhere signal 0 ends it
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # somebody else's
    return True


def _retry_unbegun(study: optuna.Study, since: dict[int, float]) -> None:
    """Retry trials whose process died before their first heartbeat.

    Optuna's own retry sees only trials that had a first heartbeat, and ``_retry_dead`` those
    that name their process.

    Args:
        study: any.
        since: when this process first saw each such trial, on its monotonic clock; updated.
    """
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        if trial.user_attrs.get(_BEGUN) == trial.number:
            continue
        if time.monotonic() - since.setdefault(trial.number, time.monotonic()) > GRACE_SECONDS:
            _retry(study, trial)


def _retry(study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
    try:
        study.tell(trial.number, state=TrialState.FAIL)
    except (UpdateFinishedTrialError, ValueError):  # another process was faster
        return
    with experimental():
        RetryHeartbeatStaleTrialCallback()(study, trial)


class _SeededByTrialNumber(optuna.samplers.BaseSampler):
    """TPE (Bergstra et al., 2011) seeded anew for every trial, by its number."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._tpe = optuna.samplers.TPESampler(seed=seed)

    def before_trial(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
        self._tpe = optuna.samplers.TPESampler(seed=self._seed * 1_000_003 + trial.number)
        self._tpe.before_trial(study, trial)

    def infer_relative_search_space(self, study: optuna.Study, trial: Any) -> dict[str, Any]:
        return self._tpe.infer_relative_search_space(study, trial)

    def sample_relative(self, study: Any, trial: Any, search_space: Any) -> dict[str, Any]:
        return self._tpe.sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: Any, trial: Any, param_name: str, param_distribution: Any
    ) -> Any:
        return self._tpe.sample_independent(study, trial, param_name, param_distribution)

    def after_trial(self, study: Any, trial: Any, state: Any, values: Any) -> None:
        self._tpe.after_trial(study, trial, state, values)
