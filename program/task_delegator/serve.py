"""Serve a compiled program as an MLflow model, from code: nothing is pickled.

``optimize compile`` logs this file with a program's folder as an agent version, ``optimize
promote`` adds the agents; ``mlflow models serve`` and the scoring server run it. Needs the extra
``mlflow``. The LM is named by ``TASK_DELEGATOR_LM`` where the model runs, and none is asked where
that is not set; ``TASK_DELEGATOR_ON_LM_FAILURE`` and ``TASK_DELEGATOR_TIMEOUT`` are as on the
command line. So are ``TASK_DELEGATOR_EMBEDDER`` and ``TASK_DELEGATOR_RERANKER``, which a program
needs that was compiled with another embedder or with a reranker.
"""

import os
from pathlib import Path
from typing import Any

from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext
from pydantic import BaseModel, ConfigDict

from task_delegator import Registry, load
from task_delegator.artifact import AGENTS
from task_delegator.errors import InputError, ProgramError
from task_delegator.many import check_tasks
from task_delegator.settings import TIMEOUT, check_policy, read_timeout


class Task(BaseModel):
    """One row of input: a task, and the caller's permissions (None: without limits).

    A misspelt ``permissions`` would open all agents: other fields are refused.
    """

    model_config = ConfigDict(extra="forbid")

    task: str
    permissions: list[str] | None = None


class Share(BaseModel):
    """An agent and its probability."""

    name: str
    probability: float


class Answer(BaseModel):
    """One row of output: a ``Delegation`` without its evidence."""

    task: str
    decision: str
    agent: str | None = None
    top3: list[Share]
    confidence: float
    reason: str
    rubric: int | None = None
    several: float | None = None


def _settings() -> dict[str, Any]:
    """Return what the environment says of LM failures and time-outs.

    Raises:
        InputError: which variable is wrong, and how.
    """
    policy = os.environ.get("TASK_DELEGATOR_ON_LM_FAILURE") or "degrade"
    given = os.environ.get("TASK_DELEGATOR_TIMEOUT") or str(TIMEOUT)
    try:
        timeout = read_timeout(given)
    except ValueError as error:
        raise InputError(f"TASK_DELEGATOR_TIMEOUT: {error}") from error
    try:
        check_policy(policy, timeout)
    except ValueError as error:
        raise InputError(f"TASK_DELEGATOR_ON_LM_FAILURE: {error}") from error
    return {"on_lm_failure": policy, "timeout": timeout}


class DelegatorModel(PythonModel):
    """Delegate every row."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load the program and the agents that were logged with it."""
        folder = Path(context.artifacts["program"])
        if not (folder / AGENTS).is_file():
            raise ProgramError(
                f"{folder}: holds no agents to serve; run python -m optimize promote, which adds "
                "those of --data"
            )
        registry = Registry.load(folder / AGENTS)
        self._delegate = load(
            folder,
            registry,
            lm=os.environ.get("TASK_DELEGATOR_LM") or None,
            embedder=os.environ.get("TASK_DELEGATOR_EMBEDDER") or None,
            reranker=os.environ.get("TASK_DELEGATOR_RERANKER") or None,
            **_settings(),
        )

    def predict(  # pyright: ignore[reportIncompatibleMethodOverride]  # the base returns nothing
        self,
        context: PythonModelContext,
        model_input: list[Task],
        params: dict[str, Any] | None = None,
    ) -> list[Answer]:
        """Return one delegation per row."""
        check_tasks([row.task for row in model_input])
        callers: dict[frozenset[str] | None, list[int]] = {}
        for place, row in enumerate(model_input):
            caller = None if row.permissions is None else frozenset(row.permissions)
            callers.setdefault(caller, []).append(place)
        answers: dict[int, Answer] = {}
        for caller, places in callers.items():
            found = self._delegate.delegate_many([model_input[i].task for i in places], caller)
            answers |= {
                place: Answer.model_validate(one.to_dict())
                for place, one in zip(places, found, strict=True)
            }
        return [answers[place] for place in range(len(model_input))]


set_model(DelegatorModel())
