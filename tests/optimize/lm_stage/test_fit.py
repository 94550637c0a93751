"""The LM stage is fitted within its budget, and an LM that adds nothing is not asked."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from recorded import oracle, recorded_lm
from small import HashedWords

from optimize.calibration.confidence import calibrate
from optimize.config import EMBEDDED_PRESETS, PRESETS, Options
from optimize.evaluation.evaluate import evaluate
from optimize.lm_stage.budget import least_calls, plan_calls
from optimize.lm_stage.fit import LMStage, LMStageConfig, fit_lm_stage
from optimize.lm_stage.scope import best_separation
from optimize.lm_stage.variants import ask_variants, choose_variant, opened
from optimize.prompts.optimizers import OPTIMIZERS
from task_delegator.delegator import Delegator
from task_delegator.errors import InputError

pytestmark = pytest.mark.slow  # each fits an LM stage


def unsure_program(dataset) -> Delegator:
    """A program with a poor embedder that would not assign anything by itself."""
    program = Delegator(dataset.registry, HashedWords())
    program.knobs.set(
        {"retrieval.k": 5, "retrieval.bm25": 0.0, "retrieval.chars": 0.0, "retrieval.maxsim": 0.0}
    )
    calibrate(program, dataset)
    program.knobs.set({"confidence.assign_threshold": 1.0})
    return program


def fit(program, dataset, lm, calls=200, optimizer: str | None = "bootstrap") -> LMStage:
    return fit_lm_stage(program, dataset, lm, LMStageConfig(calls, optimizer))


def test_an_lm_that_knows_is_listened_to_within_its_budget(dataset):
    program = unsure_program(dataset)
    lm, engine = recorded_lm(oracle(dataset))
    stage = fit(program, dataset, lm, 250)
    assert program.knobs.values.lm.gate is None  # it is returned, not set
    stage.apply(program)
    result, knobs = stage.result, program.knobs.values
    assert result.weight > 0
    assert result.calls == len(engine.prompts) <= 250
    assert result.asked_out_of_scope > 0
    assert knobs.lm.gate == result.gate
    assert knobs.scope.in_scope_with_lm.none_logit < 0
    # Its thresholds are chosen on the confidence without P(some agent fits).
    assert (knobs.scope.share_with_lm, knobs.scope.even_odds_floor_with_lm) == (None, None)
    without = evaluate(program, dataset, "test", name="x")
    heard = evaluate(program, dataset, "test", name="x", lm=lm)
    assert heard.top1 > without.top1
    assert heard.versus_no_lm is not None
    assert heard.versus_no_lm["difference"] == pytest.approx(heard.top1 - without.top1)
    assert heard.oos_auroc is not None
    assert without.oos_auroc is not None
    assert heard.oos_auroc > without.oos_auroc
    # One that is right in either order need not be asked in both.
    assert heard.lm_calls_per_task == pytest.approx(heard.lm_share)
    assert 0 < heard.lm_share < 1


def test_an_optimizer_that_asks_nothing_is_measured_as_well(dataset):
    lm, engine = recorded_lm(oracle(dataset))
    result = fit(unsure_program(dataset), dataset, lm, 200, "labeled-few-shot").result
    assert "optimized prompt" in result.gains
    assert result.calls == len(engine.prompts) <= 200


def test_an_lm_that_always_answers_the_first_slot_is_not_asked(dataset):
    program = unsure_program(dataset)
    lm, engine = recorded_lm(lambda prompt: '{"slot": "A"}')
    stage = fit(program, dataset, lm)
    stage.apply(program)
    assert (stage.result.weight, program.knobs.values.lm.gate) == (0.0, None)
    assert stage.result.chosen is None
    assert program.classify.select.demos == []
    before = len(engine.prompts)
    assert evaluate(program, dataset, "test", name="x", lm=lm).lm_calls == 0
    assert len(engine.prompts) == before
    forced = opened(program, {"lm.orders": 2})
    report = evaluate(forced, dataset, "test", name="x", lm=lm, limit=10)
    assert report.lm_calls == 20
    assert report.slot_flip_rate == 1.0


@pytest.fixture(scope="module")
def unsure(dataset) -> Delegator:
    return unsure_program(dataset)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_is_run_or_refused_before_the_lm_is_asked(dataset, unsure, name, monkeypatch):
    ran = []

    def run(student, brief):
        ran.append(brief.calls)
        return student

    row = replace(OPTIMIZERS[name], compile=run, read_candidates=lambda done: [])
    monkeypatch.setitem(OPTIMIZERS, name, row)
    lm, engine = recorded_lm(oracle(dataset))
    least = least_calls(name, len(dataset.splits["train"]))
    budgets = [preset.max_lm_calls for preset in PRESETS.values()]
    refused = [calls for calls in budgets if calls < least]
    for too_few in [*refused, least - 1] if refused else []:
        with pytest.raises(InputError, match=f"give --max-lm-calls {least} or --preset full"):
            fit(unsure, dataset, lm, too_few, name)
    assert (engine.prompts, ran) == ([], [])
    for calls in {max(calls, least) for calls in budgets}:
        ran.clear()
        result = fit(unsure, dataset, lm, calls, name).result
        assert len(ran) == 1
        assert result.ran == name
        assert result.asked >= 15


@pytest.mark.parametrize("presets", [PRESETS, EMBEDDED_PRESETS], ids=["hosted", "embedded"])
def test_the_default_optimizer_fits_every_preset_with_room(presets):
    for preset in presets.values():
        plan = plan_calls(Options(Path()).optimizer, preset.max_lm_calls, 500, preset.cards)
        assert plan.compared >= 15


def test_an_lm_on_this_machine_is_shown_few_agents_on_short_cards(dataset):
    """What it takes is reading: the quick preset keeps its prompts short, in every way compared."""
    quick = EMBEDDED_PRESETS["quick"]
    lm, engine = recorded_lm(oracle(dataset))
    config = LMStageConfig(quick.max_lm_calls, cards=quick.cards, most_shown=quick.most_shown)
    program = unsure_program(dataset)
    stage = fit_lm_stage(program, dataset, lm, config)
    assert "brief card" in stage.result.gains
    assert not {"standard card", "full card"} & set(stage.result.gains)
    assert stage.result.calls == len(engine.prompts) <= quick.max_lm_calls
    stage.apply(program)
    assert program.knobs.values.lm.card == "brief"
    assert program.knobs.values.lm.shortlist <= quick.most_shown


def test_the_cheapest_variant_near_the_best_is_chosen(dataset, unsure):
    lm, _ = recorded_lm(oracle(dataset))
    guessing, _ = recorded_lm(lambda prompt: '{"slot": "A"}')
    asked = dataset.splits["validation"][:15]
    good = ask_variants(unsure, asked, lm, None)
    bad = ask_variants(unsure, asked, guessing, None)
    chosen = choose_variant({"bad": bad["standard card"], "good": good["standard card"]}, seed=0)
    assert chosen.name == "good"
    assert chosen.gains["good"][0] > chosen.gains["bad"][0]
    one, two = "standard card", "standard card, two orders"
    assert choose_variant({one: good[one], two: good[two]}, seed=0).name == one
    assert good[two].tokens == 2 * good[one].tokens


def test_an_lm_without_logprobs_may_rank_its_three_best(dataset, unsure):
    """The ranking is one of the ways that are compared, and costs one call."""
    answer = oracle(dataset)

    def ranking(prompt):
        slot = answer(prompt)[10]
        if "`ranking`" not in prompt and "ranking" not in prompt:
            return f'{{"slot": "{slot}"}}'
        return f'{{"slot": "{slot}", "ranking": [{{"slot": "{slot}", "probability": 0.97}}]}}'

    lm, _ = recorded_lm(ranking)
    found = ask_variants(unsure, dataset.splits["validation"][:15], lm, None)
    assert set(found) == {"standard card", "standard card, two orders", "full card", "ranking"}
    said = found["ranking"].outcomes[0].delegation.evidence.lm
    assert said is not None
    assert said.answers[0].source == "verbalized"


@given(
    st.lists(st.floats(0, 1), min_size=1, max_size=20),
    st.lists(st.floats(0, 1), min_size=1, max_size=20),
)
def test_no_threshold_separates_better(inside, outside):
    scores = np.array([*inside, *outside])
    labels = np.repeat([True, False], [len(inside), len(outside)])

    def told_right(threshold: float) -> float:
        kept = float((scores[labels] >= threshold).mean())
        return kept + float((scores[~labels] < threshold).mean())

    found = best_separation(scores, labels)
    assert 0 <= found <= 1
    best = max(told_right(edge) for edge in [0.0, *scores.tolist()])
    assert told_right(found) >= best - 1e-9


def test_an_optimizer_that_did_not_run_is_not_named(dataset, unsure, caplog):
    few = replace(
        dataset, splits={**dataset.splits, "validation": dataset.splits["validation"][:9]}
    )
    lm, engine = recorded_lm(oracle(dataset))
    result = fit(unsure, few, lm).result
    assert (result.ran, result.calls, engine.prompts) == (None, 0, [])
    assert "9 validation requests, 15 are needed" in caplog.text
    untrained = replace(dataset, splits={**dataset.splits, "train": ()})
    result = fit(unsure, untrained, lm).result
    assert result.ran is None
    assert result.calls > 0
    assert "three train requests are needed" in caplog.text


def test_without_requests_out_of_scope_an_lm_leaves_the_scope_of_retrieval(dataset):
    """Calibration gave the knobs with the LM those of retrieval alone; no fit replaces them."""
    few = replace(dataset, out_of_scope=dict.fromkeys(dataset.out_of_scope, ()))
    program = unsure_program(few)
    lm, _ = recorded_lm(oracle(dataset))
    stage = fit(program, few, lm, optimizer=None)
    assert stage.result.weight > 0
    fitted = {name for name in stage.knobs if name.startswith("scope.")}
    apart = ("share", "even_odds_floor", "assign_floor")
    assert fitted == {f"scope.{name}_with_lm" for name in apart}
    stage.apply(program)
    scope = program.knobs.values.scope
    alone = scope.in_scope.model_dump()
    assert {n: getattr(scope.in_scope_with_lm, n) for n in alone} == alone
    assert scope.threshold_with_lm == scope.threshold


def test_with_an_lm_retrievals_signals_and_its_none_say_whether_some_agent_fits(dataset):
    """Not the posterior, which is another one with an LM."""
    program = unsure_program(dataset)
    lm, _ = recorded_lm(oracle(dataset))
    known = program.knobs.values.scope
    assert known.share is not None
    stage = fit(program, dataset, lm, optimizer=None)
    stage.apply(program)
    model = program.knobs.values.scope.in_scope_with_lm
    assert (model.logit, model.margin) == (0.0, 0.0)
    assert model.none_logit < 0
    assert any(weight for name, weight in model if name not in ("bias", "none_logit"))
