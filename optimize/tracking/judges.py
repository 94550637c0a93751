"""The judge that MLflow's page *Judges* lists: instructions for an LM, no code.

It answers the first question of a review in the words of a reviewer, so that MLflow can show both
side by side and align the judge with what persons said. Registering runs nothing: a judge is
asked where somebody runs it on traces, with a key and an address of their own environment.
"""

import logging
from typing import Any, Literal

from mlflow.environment_variables import MLFLOW_GENAI_JUDGE_DEFAULT_MODEL
from mlflow.exceptions import MlflowException
from mlflow.genai.judges import make_judge
from mlflow.tracking import MlflowClient

from task_delegator.lm import is_embedded
from task_delegator.system import sha256_text
from task_delegator.tracing import QUESTIONS, VERDICT

UNREADABLE = "cannot tell"  # what no person answers, who has the log of decisions beside the trace
ANSWERS = (*QUESTIONS[0].options, UNREADABLE)
INSTRUCTIONS = """\
A task was given to a delegator, which chooses one of many agents for it. Say who should do the \
task, as a careful person would who has to hand it over and answers for the outcome.

The task:
{{ inputs }}

What the delegator found:
{{ outputs }}

`top3` are the agents that fit best: the first agent first, or each with its probability, the \
highest of which is the first agent's. `descriptions` say what these agents do; where they are not \
shown, go by the names. The decision of the delegator and its confidence are no evidence.

Answer
- `the first agent` if the task is the first agent's work,
- `another agent` if it is rather the work of another agent, of `top3` or beside them,
- `no agent` if none of such agents would do it,
- `several agents` if it holds several pieces of work that no single agent does,
- `cannot tell` if the text of the task is not shown, only its length such as `<41 characters>`.
Give the reason in one sentence and name the agent."""
_DESCRIPTION = "Who should do the task? Answers as a reviewer does; needs traces that show texts."
# Tag of the experiment: the wording registered last. The UI shows no tag that begins so.
_REGISTERED = "mlflow.taskDelegator.judge"
_log = logging.getLogger(__name__)


def model_of(lm: Any) -> str | None:
    """Return an LM as MLflow names a judge's model, None for MLflow's own default.

    That default is ``MLFLOW_GENAI_JUDGE_DEFAULT_MODEL`` where it is set, also beside an LM. An
    LM that answers in this process alone, such as the embedded one, cannot judge elsewhere.
    """
    provided = isinstance(getattr(lm, "engine", None), str) and not is_embedded(lm)
    if MLFLOW_GENAI_JUDGE_DEFAULT_MODEL.get() or not provided:
        return None
    provider, _, model = str(lm.model).partition("/")
    return f"{provider}:/{model}"


def register(experiment: str, model: str | None) -> None:
    """Register the judge with an experiment that has not had its wording yet; run nothing.

    What a person changed or deleted since stays so. A server that keeps no judges is warned of.

    Args:
        experiment: its id.
        model: of a new judge, as MLflow names it; None for MLflow's default.

    Raises:
        MlflowException: the store fails altogether.
    """
    client, wording = MlflowClient(), sha256_text(INSTRUCTIONS)[:12]
    try:
        if client.get_experiment(experiment).tags.get(_REGISTERED) == wording:
            return
        judge = make_judge(
            VERDICT,
            INSTRUCTIONS,
            model=model,
            description=_DESCRIPTION,
            feedback_value_type=Literal[ANSWERS],
        )
        judge.register(experiment_id=experiment)
        client.set_experiment_tag(experiment, _REGISTERED, wording)
    except MlflowException as error:
        client.get_experiment(experiment)  # raises where the store fails altogether
        _log.warning("MLflow keeps no judge here (%s)", error.error_code)
