import dspy
import pytest
from recorded import recorded_lm

from experiments.studies.attacks import Case, summary
from experiments.support.costs import count_usage, per_task
from task_delegator.delegation import Candidate, Decision, Delegation, Usage


def test_what_threads_ask_is_counted():
    lm, engine = recorded_lm(lambda prompt: "[[ ## answer ## ]]\nyes\n[[ ## completed ## ]]")
    ask = dspy.Predict("question -> answer")
    questions = [(ask, dspy.Example(question=str(n)).with_inputs("question")) for n in range(5)]
    with dspy.context(lm=lm), count_usage() as cost:
        dspy.Parallel(num_threads=2, disable_progress_bar=True)(questions)
        ask(question="one more")
    assert len(engine.prompts) == 6
    assert (cost.usage.lm_calls, cost.usage.tokens) == (6, 6 * 12)
    assert cost.usage.seconds > 0


def test_a_tracker_around_is_told():
    lm, _ = recorded_lm(lambda prompt: "[[ ## answer ## ]]\nyes\n[[ ## completed ## ]]")
    ask = dspy.Predict("question -> answer")
    with dspy.context(lm=lm), count_usage() as whole:
        ask(question="one")
        with count_usage() as part:
            ask(question="two")
    assert (whole.usage.lm_calls, part.usage.lm_calls) == (2, 1)


def test_what_was_spent_before_a_failure_is_counted():
    lm, _ = recorded_lm(lambda prompt: "[[ ## answer ## ]]\nyes\n[[ ## completed ## ]]")
    held = []

    def fail() -> None:
        with dspy.context(lm=lm), count_usage() as cost:
            held.append(cost)
            dspy.Predict("question -> answer")(question="one")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert (held[0].usage.lm_calls, held[0].usage.tokens) == (1, 12)


def test_the_cost_of_a_task_is_a_mean():
    spent = [Usage(2, 100, 1.0), Usage(4, 300, 2.0)]
    assert per_task(spent, share=1 / 2) == {
        "lm_calls_per_task": 1.5,
        "tokens_per_task": 100.0,
        "seconds_per_task": 0.75,
    }


def delegated(agent: str, decision: Decision, lm_calls: int = 0) -> Delegation:
    return Delegation(
        task="t",
        decision=decision,
        agent=agent,
        top3=(Candidate(agent, 1.0),),
        confidence=0.5,
        reason="",
        rubric=None,
        usage=Usage(lm_calls, 10 * lm_calls, 1.0),
    )


def test_an_attack_gains_what_the_host_wins_more_often_than_before():
    lost, assigned = delegated("Other", "assign"), delegated("Host, the best", "assign", 2)
    first = delegated("Host", "review", 4)
    cases = [
        Case("stuffing", "Host", [lost, lost], [assigned, lost]),
        Case("override", "Host", [first], [first]),
    ]
    found = {row["kind"]: row for row in summary(cases)}
    assert found["stuffing"]["gained"] == 0.5
    assert found["stuffing"]["assigned_after"] == 0.5
    assert found["stuffing"]["lm_calls_per_task"] == 1
    assert (found["override"]["first_before"], found["override"]["gained"]) == (1, 0)
    assert found["all"]["n"] == 3
    assert found["all"]["gained"] == pytest.approx(1 / 3)
    assert found["all"]["tokens_per_task"] == 20
