"""A confidence for registries that come later: what is drawn, and what is fitted."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit
from small import ROOT, HashedWords, office_registry

from optimize.calibration import draw_registries, fit_transfer
from optimize.calibration.transfer import choose_none, fit_shrunk
from optimize.data import ENCODER_REGISTRIES, read_registries
from optimize.recorded import read_folder
from task_delegator.calibration import CalibratedAgents
from task_delegator.delegator import Delegator
from task_delegator.embedders import embedder
from task_delegator.errors import InputError
from task_delegator.knobs import TransferWeights
from task_delegator.registry import Registry

WRITTEN = read_registries()
TRAINED_ON = read_registries(ENCODER_REGISTRIES)


def test_what_is_written_is_sound_and_nothing_of_it_was_trained_on():
    assert (len(WRITTEN), len(TRAINED_ON)) == (125, 309)
    assert not WRITTEN.keys() & TRAINED_ON.keys()
    registries = [*WRITTEN.values(), *TRAINED_ON.values()]
    agents = [one for registry in registries for one in registry]
    assert len(agents) == 8 * len(registries)
    texts = [t for one in agents for t in (*one.agent.user_request_samples, *one.requests)]
    assert len({text.casefold() for text in texts}) == len(texts)
    for registry in registries:
        Registry([one.agent for one in registry])  # refuses names that look the same
        assert all(one.requests for one in registry)


def test_a_second_labeling_agrees():
    written = WRITTEN | TRAINED_ON
    agreed, path = 0, ROOT / "datasets" / "probes" / "registries_second_labels.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines()
    for said in map(json.loads, lines):
        owners = [one for one in written[said["registry"]] if said["request"] in one.requests]
        agreed += [one.agent.name for one in owners] == [said["agent"]]
    assert (agreed, len(lines)) == (146, 150)


def test_what_a_large_lm_answered_is_as_the_data_card_says():
    (said,) = read_folder(ROOT / "datasets" / "lm_answers", "registries")
    written = [one for own in WRITTEN.values() for one in own]
    owners = {text: one for one in written for text in one.requests}
    right, near, groups = [], [], set()
    for belief in said.beliefs.values():
        owner, shown = owners[belief.task], belief.shortlist or frozenset()
        here = {one.registry for one in written if one.agent.name in shown}
        likeliest = max(belief.probabilities, key=lambda name: belief.probabilities[name])
        none = belief.none > belief.probabilities[likeliest]
        groups.add(shown)
        if owner.agent.name in shown:
            right.append(likeliest == owner.agent.name and not none)
        elif owner.registry in here:
            near.append(none)
    assert {len(shown) for shown in groups} == {18}
    assert len(groups) == 24
    assert (sum(right), len(right)) == (847, 864)
    assert (sum(near), len(near)) == (285, 288)


def test_a_draw_asks_what_its_agents_are_right_for_and_what_nobody_there_is():
    owners = {text: one for own in WRITTEN.values() for one in own for text in one.requests}
    for drawn in draw_registries(WRITTEN, number=40):
        names = [agent.name for agent in drawn.agents]
        assert len(names) == len({name.casefold() for name in names}) <= 150
        here = {one.registry for one in owners.values() if one.agent.name in names}
        known = {sample for agent in drawn.agents for sample in agent.user_request_samples}
        for text, name in drawn.asked:
            assert owners[text].agent.name == name
            assert name in names
            assert text not in known
        assert drawn.far
        assert all(owners[text].agent.name not in names for text in drawn.far)
        assert here


def test_the_same_seed_draws_the_same():
    some = [list(draw_registries(WRITTEN, number=3, seed=seed)) for seed in (0, 0, 1)]
    assert some[0] == some[1] != some[2]


def test_too_few_registries_are_refused():
    few = dict(list(WRITTEN.items())[:3])
    with pytest.raises(InputError, match="3 registries are too few"):
        next(draw_registries(few))


@pytest.mark.slow
def test_a_fit_tells_right_from_wrong_in_registries_that_it_did_not_see():
    program = Delegator(office_registry(), embedder())
    fit = fit_transfer(program, draw_registries(WRITTEN, number=30), 0.8)
    values = program.knobs.values
    assert values.transfer.assign_threshold == fit.promise.threshold
    assert fit.registries == 30
    for model in (values.transfer.right, values.transfer.fits):
        assert any(getattr(model, name) for name in TransferWeights.features())
    assert fit.promise.precision >= 0.8
    assert fit.promise.coverage >= 0.2
    assert values.transfer.none_threshold == fit.nobody.threshold
    assert 0 < fit.nobody.threshold <= 0.5
    assert fit.nobody.in_scope <= 0.02
    assert fit.nobody.out_of_scope > 2 * fit.nobody.in_scope
    # Requests of others of the written registries, none of which has an agent of the office.
    program.calibrated_for = CalibratedAgents(frozenset({"0" * 16}))
    assert program("refund my order").evidence.calibrated_by == "registries"
    json.dumps(fit.to_json())


def test_a_shrunk_fit_is_as_sure_as_its_labels():
    rng = np.random.default_rng(0)
    table = rng.normal(size=(4000, 3))
    labels = rng.random(4000) < expit(table @ [1.5, 0.5, 0.0] - 1)
    bias, weights = fit_shrunk(table, labels, np.ones(4000))
    sure = expit(bias + table @ weights)
    assert sure.mean() == pytest.approx(labels.mean(), abs=0.005)
    for low, high in ((0.0, 0.2), (0.4, 0.6), (0.8, 1.0)):
        own = (sure >= low) & (sure < high)
        assert sure[own].mean() == pytest.approx(labels[own].mean(), abs=0.07)
    assert abs(weights[2]) < abs(weights[1]) < weights[0]


@given(
    st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=300).filter(
        lambda rows: any(served for _, served in rows)
    )
)
def test_hardly_any_request_that_an_agent_fits_is_told_none(rows):
    fits, served = np.array([p for p, _ in rows]), np.array([s for _, s in rows])
    point = choose_none(fits, served)
    told = fits < point.threshold
    assert point.threshold <= 0.5
    assert told[served].sum() <= np.ceil(0.01 * served.sum())
    assert point.in_scope == told[served].mean()
    assert point.out_of_scope == (told[~served].mean() if not served.all() else 0.0)


def test_a_program_that_reranks_is_refused():
    program = Delegator(office_registry(), HashedWords())
    program.knobs.set({"retrieval.rerank": 0.5})
    with pytest.raises(InputError, match="the program reranks"):
        fit_transfer(program, draw_registries(WRITTEN, number=2), 0.9)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("[", "line 1"),
        ('{"registry": "a", "name": "b"}', "description"),
        (
            '{"registry": "a", "name": "", "description": "", "samples": [], "requests": []}',
            "line 1",
        ),
        ("3", "line 1"),
    ],
)
def test_a_broken_line_is_named(tmp_path, line, says):
    path = tmp_path / "registries.jsonl"
    path.write_text(line + "\n")
    with pytest.raises(InputError, match=says):
        read_registries(path)
    with pytest.raises(InputError, match="cannot be read"):
        read_registries(tmp_path / "missing.jsonl")
