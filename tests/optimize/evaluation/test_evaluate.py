"""A report compares like with like, and a limit limits all that is asked."""

import json

import dspy
import numpy as np
import pytest
from recorded import recorded_lm
from rerankers import SharedWords
from small import HashedWords

from optimize.calibration.confidence import calibrate
from optimize.evaluation import baselines
from optimize.evaluation.evaluate import evaluate, evaluate_all
from optimize.evaluation.metrics import auroc
from optimize.evaluation.outcomes import select
from optimize.evaluation.report import Report
from task_delegator.decision import allowed_by_share
from task_delegator.delegator import Delegator
from task_delegator.errors import InputError
from task_delegator.knobs import InScopeWeights


@pytest.fixture(scope="module")
def asking(dataset) -> Delegator:
    """A program that asks the LM about everything and gives its answers weight."""
    program = Delegator(dataset.registry, HashedWords())
    calibrate(program, dataset)
    program.knobs.set(
        {
            "lm.ask_settled": True,
            "lm.weight": 2.0,
            "lm.orders": 1,
            "lm.repeats": 1,
            **{f"scope.in_scope.{name}": 0.0 for name in InScopeWeights.features()},
            "scope.in_scope.logit": 1.0,
        }
    )
    return program


def fits(program, texts):
    return np.array([program(text).evidence.in_scope_score for text in texts])


@pytest.mark.slow
def test_an_lm_that_sharpens_every_posterior_does_not_tell_what_is_in_scope(dataset, asking):
    lm, engine = recorded_lm(lambda prompt: '{"slot": "A"}')
    report = evaluate(asking, dataset, "test", name="x", lm=lm)
    inside = [request.text for request in dataset.splits["test"]]
    outside = dataset.out_of_scope["test"]
    assert all(any(text in prompt for prompt in engine.prompts) for text in outside)
    assert report.lm_calls_out_of_scope == len(outside)

    with dspy.context(lm=lm):
        sharpened = fits(asking, inside), fits(asking, outside)
    plain = fits(asking, inside), fits(asking, outside)
    assert sharpened[0].mean() > plain[0].mean() + 0.02
    labels = np.arange(len(inside) + len(outside)) < len(inside)
    assert report.oos_auroc == pytest.approx(auroc(np.concatenate(sharpened), labels))
    one_sided = auroc(np.concatenate([sharpened[0], plain[1]]), labels)
    assert report.oos_auroc is not None
    assert one_sided is not None
    assert report.oos_auroc < one_sided - 0.02


@pytest.mark.parametrize(("weight", "named"), [(0.5, "shared-words"), (0.0, None)])
def test_a_report_names_the_reranker_where_the_program_uses_one(dataset, weight, named):
    program = Delegator(dataset.registry, HashedWords(), reranker=SharedWords())
    program.knobs.set({"retrieval.rerank": weight})
    report = evaluate(program, dataset, "test", name="x", limit=6)
    assert (report.embedder, report.reranker) == ("hashed-words", named)
    assert report.to_dict()["reranker"] == named


def test_a_limit_holds_for_requests_in_and_out_of_scope(dataset, asking):
    report = evaluate(asking, dataset, "test", name="x", limit=6)
    assert (report.n, report.n_out_of_scope) == (6, 6)
    assert sum(report.decisions_out_of_scope.values()) == 6
    whole = evaluate(asking, dataset, "test", name="x")
    assert whole.n_out_of_scope == len(dataset.out_of_scope["test"])


@pytest.mark.slow
@pytest.mark.parametrize("mixed", [False, True])
def test_the_lm_s_share_holds_in_scope_and_out_of_scope_or_of_both(dataset, asking, mixed):
    lm, engine = recorded_lm(lambda prompt: '{"slot": "A"}')
    program = asking.deepcopy()
    program.max_lm_share = 0.4
    found = evaluate_all(program, dataset, "test", name="x", lm=lm, mixed=mixed)
    inside, outside = found.report.n, found.report.n_out_of_scope
    asked = round(found.report.lm_share * inside)
    total = asked + found.report.lm_calls_out_of_scope
    assert total == len(engine.prompts)
    if mixed:
        assert total == allowed_by_share(0.4, inside + outside)
    else:
        assert (asked, total - asked) == (
            allowed_by_share(0.4, inside),
            allowed_by_share(0.4, outside),
        )


def test_the_setting_of_bm25_is_chosen_once_per_data(dataset, monkeypatch):
    monkeypatch.setattr(baselines, "_CHOSEN", {})
    tried = []
    right = baselines.grade_bm25
    monkeypatch.setattr(
        baselines, "grade_bm25", lambda *given: tried.append(given[2:]) or right(*given)
    )

    def index(learned):
        return Delegator(dataset.registry, HashedWords()).retrieve.library.index(learned)

    validation = dataset.splits["validation"]
    chosen = baselines.choose_bm25(index({}), validation)
    assert len(set(tried)) == len(tried) == 20
    assert baselines.choose_bm25(index({}), validation) == chosen
    assert len(tried) == 20  # another index of the same texts
    baselines.choose_bm25(index({}), validation[:5])
    assert len(tried) == 40
    learned = {validation[0].expected: ("one more sample",)}
    baselines.choose_bm25(index(learned), validation)
    assert len(tried) == 60
    assert baselines.choose_bm25(index({}), ()) == (1.5, 0.75)


@pytest.mark.slow
def test_a_report_is_complete_and_its_rates_are_fractions(dataset):
    report = evaluate(Delegator(dataset.registry), dataset, "test", name="x", limit=20)
    values = report.to_dict()
    assert set(values) == set(Report.__dataclass_fields__)
    assert (report.n, report.lm) == (20, None)
    assert 0 <= report.top1 <= report.top3 <= 1
    assert sum(report.decisions.values()) == 20
    written = json.loads(json.dumps(values, allow_nan=False))
    assert written["top1_ci95"] == list(report.top1_ci95)
    assert {name: written[name] for name in report.metrics() if name in written} == {
        name: value for name, value in report.metrics().items() if name in written
    }
    assert all(isinstance(value, float) for value in report.metrics().values())
    assert report.versus_bm25["difference"] == pytest.approx(
        report.top1 - report.baseline_bm25_top1
    )


def test_a_subset_is_fixed_by_its_seed(dataset):
    requests = dataset.splits["test"]
    assert select(requests, 7, 3) == select(requests, 7, 3)
    assert select(requests, 7, 3) != select(requests, 7, 4)
    assert select(requests, None, 0) == list(requests)
    with pytest.raises(InputError, match="at least 1"):
        select(requests, 0, 0)
