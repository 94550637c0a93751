"""P(some agent fits) with an LM: what it is fitted to, and over which requests it holds."""

from dataclasses import dataclass, fields
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from optimize.calibration import SignalsScope, signals_scope
from optimize.lm_stage import scope
from optimize.lm_stage.scope import ScopeWithLM, fit_scope_with_lm
from task_delegator.calibration import Observed, ScopeFit, fit_scope
from task_delegator.delegation import Features, Signals
from task_delegator.knobs import InScopeWeights, KnobValues

SHARE = 0.1
SIGNALS = tuple(name for name in InScopeWeights.features() if name not in ("logit", "margin"))


@dataclass
class Asked:
    """A request with an LM's "none", as far as the fit reads it."""

    text: str
    none_logit: float

    @property
    def request(self) -> Any:
        return self


def fit(monkeypatch, inside: list[Asked], outside: list[Asked], alone: SignalsScope) -> ScopeWithLM:
    read = lambda outcome, weight, orders: outcome  # noqa: E731  # as features: it has "none"
    monkeypatch.setattr(scope, "features_with_lm", read)
    program: Any = SimpleNamespace(knobs=SimpleNamespace(values=KnobValues()))
    served: Any = inside
    refused: Any = outside
    return fit_scope_with_lm(program, served, refused, alone, 1.0, 1, 0)


def test_signals_and_an_lm_that_say_nothing_tell_nothing_apart(monkeypatch):
    """What was fitted to the same requests would say that they do."""
    found = []
    for seed in range(12):
        rng = np.random.default_rng(seed)

        def observed(agent: str, *, right: bool, rng=rng) -> Observed:
            drawn = Signals(**{field.name: float(rng.normal()) for field in fields(Signals)})
            return Observed(agent, drawn, Features(logit=0.0, margin=0.0), right)

        rows = [observed(f"agent {i % 20}", right=True) for i in range(60)]
        near = [observed(f"agent {i % 20}", right=False) for i in range(60)]
        far = [observed("", right=False) for _ in range(20)]
        known = fit_scope(rows, near, far, lambda _: 0.9, names=SIGNALS)
        group = "scope.in_scope."
        own = {n.removeprefix(group): w for n, w in known.knobs.items() if n.startswith(group)}
        odds = np.log(known.held_out / (1 - known.held_out))
        texts = [str(number) for number in range(80)]
        held_out = dict(zip(texts, [*odds[:60], *odds[-20:]], strict=True))
        alone = SignalsScope(InScopeWeights(**own), held_out, np.log(9), 60, 20)
        asked = [Asked(text, float(rng.normal())) for text in texts]
        found.append(fit(monkeypatch, asked[:60], asked[60:], alone).auroc)
    assert np.mean(found) == pytest.approx(0.5, abs=0.06)


@pytest.mark.parametrize("share_asked", [1.0, 0.3])
def test_the_probability_holds_for_all_requests_where_the_least_certain_were_asked(
    monkeypatch, share_asked
):
    """By Bayes' rule the log-odds are 2 of the signals less 2 of "none", and those of the share."""
    rng = np.random.default_rng(0)
    signals = np.concatenate([rng.normal(1, 1, 3000), rng.normal(-1, 1, 1000)])
    nones = np.concatenate([rng.normal(-1, 1, 3000), rng.normal(1, 1, 1000)])
    held_out = {str(number): float(2 * said) for number, said in enumerate(signals)}
    least = np.quantile(signals, share_asked)
    asked = [Asked(str(n), float(none)) for n, none in enumerate(nones)]
    inside, outside = (
        [asked[n] for n in places if signals[n] <= least]
        for places in (range(3000), range(3000, 4000))
    )
    prior = np.log(1 / SHARE - 1)
    alone = SignalsScope(InScopeWeights(description=2.0), held_out, prior, 3000, 1000)
    knobs = fit(monkeypatch, inside, outside, alone).knobs
    of = {name: knobs[f"scope.in_scope_with_lm.{name}"] for name in ("description", "none_logit")}
    assert of == pytest.approx({"description": 2.0, "none_logit": -2.0}, abs=0.35)
    assert knobs["scope.in_scope_with_lm.bias"] == pytest.approx(prior, abs=0.35)


def test_a_request_that_is_surely_in_scope_leaves_odds_that_can_be_fitted(monkeypatch):
    known = {"scope.share": SHARE, "scope.in_scope.bias": 1.0}
    seen = ScopeFit(known, np.array([1.0, 0.5, 0.0]))
    monkeypatch.setattr("optimize.calibration.scope._fitted", lambda *_: seen)
    one, other = (SimpleNamespace(request=Asked(t, 0.0), delegation=None) for t in ("a", "b"))
    nothing: Any = None
    inside: Any = [one]
    outside: Any = [other]
    alone = signals_scope(nothing, inside, outside)
    assert np.isfinite([alone.log_odds("a"), alone.log_odds("b")]).all()
    assert alone.log_odds("a") > 30 > -30 > alone.log_odds("b")


def test_an_lm_is_heard_where_retrieval_says_nothing(monkeypatch):
    """Equal log-odds of all requests took the whole fit, by their rounding."""
    texts = [str(number) for number in range(400)]
    alone = SignalsScope(InScopeWeights(bias=0.1), dict.fromkeys(texts, 0.1), 0.0, 300, 100)
    rng = np.random.default_rng(0)
    nones = [*rng.normal(-1, 1, 300), *rng.normal(1, 1, 100)]
    asked = [Asked(text, float(none)) for text, none in zip(texts, nones, strict=True)]
    found = fit(monkeypatch, asked[:300], asked[300:], alone)
    assert found.auroc is not None
    assert found.auroc > 0.9
    assert found.knobs["scope.in_scope_with_lm.none_logit"] < -1
