import dspy
import pytest
from recorded import recorded_lm
from small import HashedWords, only

from experiments.studies.attacks import Case, summary
from experiments.support.costs import count_usage, per_task
from experiments.support.timing import latencies, single_system
from optimize.data.dataset import Request
from task_delegator.delegation import Candidate, Decision, Delegation, Usage
from task_delegator.delegator import Delegator
from task_delegator.retrieval.fusion import fuse, largest, score
from task_delegator.retrieval.index_cache import IndexCache


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


@pytest.mark.parametrize("weights", [
    {"retrieval.bm25": 1.0, "retrieval.bm25_k1": 0.9, "retrieval.bm25_b": 0.1},
    {
        "retrieval.description": 0.3,
        "retrieval.sample_best": 1.0,
        "retrieval.sample_mean": 0.5,
    },
])  # fmt: skip
@pytest.mark.parametrize("task", ["refund my invoice", "book a hotel", "what is my salary?"])
def test_what_is_timed_by_itself_ranks_as_the_program_would(office, weights, task):
    index = IndexCache(office, HashedWords()).index({})
    knobs = only().replaced({"retrieval.k": 4} | weights)
    fused = fuse(score(index, index.read(task), knobs).z_scores, knobs)
    assert single_system(index, knobs)(task).tolist() == largest(fused, 4).tolist()


def test_every_system_has_its_time_and_its_vectors(office):
    program = Delegator(office, HashedWords())
    knobs = {"BM25": only("bm25"), "embeddings": only("description")}
    found = latencies(program, knobs, [Request("refund my invoice", ("Refunds",))], 1)
    assert all(0 < row["p50_ms"] <= row["p95_ms"] for row in found.values())
    memory = [found[name]["vectors_mb"] for name in ("BM25", "embeddings", "compiled")]
    vector, token = 64 * 4, 64 + 4  # bytes of this embedder's
    texts = program.retrieve.library.index({}).encodings.values()
    tokens = sum(len(text.token_ids) for text in texts)
    held = [0, len(texts) * vector, len(texts) * vector + tokens * token]
    assert memory == [count / 2**20 for count in held]
