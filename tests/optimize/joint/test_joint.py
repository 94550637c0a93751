"""The joint search: what it tries, what it keeps, what it spends."""

import json
from importlib import import_module

import dspy
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from recorded import oracle, recorded_lm, until_it_dies
from rerankers import SharedWords
from small import HashedWords
from tracking import empty_store

from optimize.calibration.confidence import calibrate
from optimize.data import fitted_on
from optimize.joint.search import (
    PLAIN,
    JointSearchConfig,
    JointTrial,
    apply_trial,
    cheapest,
    front,
    joint_search,
)
from optimize.lm_stage.response_cache import ResponseCache
from optimize.pipeline.improve import improve
from optimize.search import ScoredRequests, measure
from optimize.search.study import StudyLocation
from task_delegator.decision import Target
from task_delegator.delegator import Delegator
from task_delegator.errors import InputError, LMError
from task_delegator.knobs import KnobValues


def point(number, right, tokens) -> JointTrial:
    return JointTrial(number, KnobValues(), PLAIN, 0, tuple(right), tokens)


POINTS = st.lists(
    st.tuples(st.lists(st.booleans(), min_size=6, max_size=6), st.integers(0, 4)), min_size=1
).map(lambda drawn: [point(i, right, float(cost)) for i, (right, cost) in enumerate(drawn)])


@given(POINTS)
def test_no_point_beats_one_of_the_front(trials):
    kept = front(trials)
    assert kept
    for ours in kept:
        assert not any(
            p.top1 >= ours.top1
            and p.tokens <= ours.tokens
            and (p.top1, p.tokens) != (ours.top1, ours.tokens)
            for p in trials
        )
    for other in trials:
        assert any(p.top1 >= other.top1 and p.tokens <= other.tokens for p in kept)


@example(
    [
        point(0, [False, True, True, True, True, True], 2.0),
        point(1, [False, False, False, True, True, True], 1.0),
        point(2, [True, False, False, False, True, True], 0.0),
    ]
)
@given(POINTS)
def test_nothing_as_good_as_the_chosen_point_is_cheaper(trials):
    chosen, best = cheapest(trials), front(trials)[-1]
    assert best.top1 == max(p.top1 for p in trials)
    assert not any(p.top1 >= chosen.top1 and p.tokens < chosen.tokens for p in trials)
    lost = sum(best.correct) - sum(chosen.correct)
    if lost:  # one request in a few is within chance, all of those that differ are not
        differing = sum(a != b for a, b in zip(best.correct, chosen.correct, strict=True))
        assert lost**2 <= differing


def answers_of(dataset):
    """Answer with the right agent's slot, and with the same expansions whatever the task."""
    choose = oracle(dataset)

    def answer(prompt):
        if "[[ ## candidates ## ]]" in prompt:
            return choose(prompt)
        return '{"phrasings": ["do it", "have it done"], "description": "an agent for this"}'

    return answer


@pytest.fixture(scope="module")
def calibrated(dataset):
    made = Delegator(dataset.registry, HashedWords())
    calibrate(made, dataset)
    return made


@pytest.fixture
def program(calibrated):
    return calibrated.deepcopy()


@pytest.mark.slow
def test_a_search_asks_each_question_once_and_counts_its_tokens_in_every_trial(
    dataset, program, tmp_path
):
    lm, engine = recorded_lm(answers_of(dataset))
    scope = JointSearchConfig(
        StudyLocation("joint", tmp_path / "journal", artifacts=tmp_path / "tables"),
        trials=4,
        optimizers=("labeled-few-shot",),
    )
    with ResponseCache(tmp_path / "answers.jsonl", scope.max_lm_calls) as answers:
        trials, prompts = joint_search(program, dataset, lm, scope, answers)
    assert set(prompts) == {PLAIN, "labeled-few-shot"}
    assert [p.number for p in trials] == list(range(4))
    tables = [path.read_text().splitlines()[1:] for path in (tmp_path / "tables").iterdir()]
    right = sorted(sum(line.endswith(",1") for line in table) for table in tables)
    assert right == sorted(sum(p.correct) for p in trials)
    places = {int(line.split(",")[0]) for table in tables for line in table}
    assert places == set(range(len(dataset.splits["validation"])))
    assert trials[0].tokens == 0
    assert trials[0].knobs.lm.gate == 0
    assert any(p.tokens > 0 for p in trials)
    assert len(engine.prompts) == len(set(engine.prompts))
    before = len(engine.prompts)
    with ResponseCache(tmp_path / "answers.jsonl", scope.max_lm_calls) as answers:
        fresh = JointSearchConfig(
            StudyLocation("again", tmp_path / "again"), trials=4, optimizers=("labeled-few-shot",)
        )
        again, _ = joint_search(program, dataset, lm, fresh, answers)
    assert len(engine.prompts) == before
    assert again == trials


@pytest.mark.slow
def test_trials_that_need_more_calls_than_are_left_are_pruned(dataset, program, tmp_path):
    lm, engine = recorded_lm(answers_of(dataset))
    scope = JointSearchConfig(StudyLocation("joint"), trials=5, optimizers=(), max_lm_calls=3)
    with ResponseCache(tmp_path / "answers.jsonl", 3) as answers:
        trials, _ = joint_search(program, dataset, lm, scope, answers)
    assert len(engine.prompts) <= 3
    assert 1 <= len(trials) < 5
    assert all(p.tokens <= 3 * 12 for p in trials)


@pytest.mark.slow
def test_under_a_limit_of_tokens_trials_that_fall_behind_are_pruned(dataset, program, tmp_path):
    lm, _ = recorded_lm(answers_of(dataset))
    # By this seed two of the first six fall behind; each trial takes seconds of exact tests.
    scope = JointSearchConfig(
        StudyLocation("one"), trials=6, optimizers=(), max_tokens_per_task=10.0, seed=11
    )
    with ResponseCache(tmp_path / "answers.jsonl", 3000) as answers:
        trials, _ = joint_search(program, dataset, lm, scope, answers)
    assert trials[0].number == 0
    assert all(len(p.correct) == len(dataset.splits["validation"]) for p in trials)
    assert {p.number for p in trials} < set(range(6))


@pytest.mark.slow
def test_a_settled_program_ranks_as_its_trial_did(dataset, program, tmp_path):
    lm, _ = recorded_lm(answers_of(dataset))
    scope = JointSearchConfig(StudyLocation("joint"), trials=4, optimizers=())
    with ResponseCache(tmp_path / "answers.jsonl", 3000) as answers:
        trials, prompts = joint_search(program, dataset, lm, scope, answers)
    for chosen in trials:
        made, calibration = apply_trial(program, dataset, chosen, prompts, Target(0.8, 0.1))
        assert calibration.promise.target == 0.8
        assert made.knobs.values.confidence.assign_threshold == calibration.promise.threshold
        with dspy.context(lm=lm):
            top1 = np.mean(
                [
                    made(r.text).evidence.ranking[0] in r.acceptable
                    for r in dataset.splits["validation"]
                ]
            )
        assert top1 == pytest.approx(chosen.top1)


@pytest.mark.slow
def test_a_trial_keeps_the_scale_that_a_reranker_was_fitted_with(dataset, calibrated, tmp_path):
    index = calibrated.retrieve.library.index({})
    fitted = measure(ScoredRequests(index, dataset.splits["validation"]), KnobValues()).knobs
    scaled = {"retrieval.temperature": 0.4 * fitted.retrieval.temperature}
    temperatures = []
    for weight in (0.5, 0.0):
        program = Delegator(dataset.registry, HashedWords(), reranker=SharedWords())
        program.knobs.values = fitted.replaced({"retrieval.rerank": weight, **scaled})
        lm, _ = recorded_lm(answers_of(dataset))
        scope = JointSearchConfig(StudyLocation(f"joint {weight}"), trials=1, optimizers=())
        with ResponseCache(tmp_path / f"{weight}.jsonl", 3000) as answers:
            ((first,), _) = joint_search(program, dataset, lm, scope, answers)
        temperatures.append(first.knobs.retrieval.temperature)
    beside, alone = temperatures
    assert beside == pytest.approx(0.4 * fitted.retrieval.temperature, rel=1e-3)
    assert alone == pytest.approx(fitted.retrieval.temperature, rel=1e-3)


@pytest.mark.slow
def test_an_improvement_is_saved_with_what_it_was_compared_with(
    dataset, program, tmp_path, monkeypatch
):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", empty_store(tmp_path))
    lm, _ = recorded_lm(answers_of(dataset))
    scope = JointSearchConfig(StudyLocation("joint"), trials=4, optimizers=())
    manifest = {
        "knobs": {},
        "embedder": {"spec": "minilm", "id": program.retrieve.library.embed.id},
        "calibration": {"promise": {"target": 0.8}, "confidences": [0.5], "right": [True]},
        "lm_stage": {"optimizer": "none"},
        "dataset": {"fitted_on": "0123456789"},
    }
    out = tmp_path / "out"
    done = improve("small", program, manifest, dataset, lm, scope, out)
    (chosen,) = [line for line in done.table().splitlines() if "(chosen)" in line]
    assert chosen.startswith(f"| {done.chosen.number} (chosen) | {done.chosen.top1:.1%} |")
    record = json.loads((out / "manifest.json").read_text())
    assert record["joint"]["chosen"] == done.chosen.number
    assert set(record["joint"]["versus"]) == {"validation", "test"}
    assert record["calibration"]["promise"]["target"] == 0.8
    assert len(record["calibration"]["confidences"]) == len(dataset.splits["validation"])
    assert record["lm_stage"] is None
    fitted = set(record["dataset"]["fitted_on"].split())
    assert fitted == {"0123456789", *fitted_on(dataset)["fitted_on"].split()}
    again = Delegator(dataset.registry, HashedWords())
    again.load(str(out / "program.json"))
    assert again.knobs.values.lm.gate == done.chosen.knobs.lm.gate
    assert not (tmp_path / "out.work").exists()


@pytest.mark.slow
def test_a_joint_search_continues_from_the_same_program_only(
    dataset, program, tmp_path, monkeypatch
):
    class BegunError(Exception):
        pass

    def search(*_):
        raise BegunError

    monkeypatch.setenv("MLFLOW_TRACKING_URI", empty_store(tmp_path))
    monkeypatch.setattr(import_module("optimize.pipeline.improve"), "joint_search", search)
    lm, _ = recorded_lm(str)

    def begins(trials: int = 4, **settings) -> None:
        scope = JointSearchConfig(StudyLocation("joint"), trials=trials, **settings)
        with pytest.raises(BegunError):
            improve("small", program, {}, dataset, lm, scope, tmp_path / "out")

    begins()
    begins(trials=9, max_lm_calls=9)  # more of the same
    with pytest.raises(InputError, match="other data, settings or code"):
        begins(optimizers=("copro",))
    program.knobs.set({"retrieval.head": 0.123})
    with pytest.raises(InputError, match="other data, settings or code"):
        begins()


@pytest.mark.slow
def test_a_trial_is_not_graded_on_an_lm_that_dies_in_the_middle(dataset, program, tmp_path):
    lm, _ = recorded_lm(until_it_dies(answers_of(dataset), 5))
    scope = JointSearchConfig(StudyLocation("dies"), trials=5, optimizers=())
    answers = ResponseCache(tmp_path / "answers.jsonl", scope.max_lm_calls)
    with answers, pytest.raises(LMError, match="did not answer"):
        joint_search(program, dataset, lm, scope, answers)
