"""A compiled program is data: what its folder may hold, and what is refused before it is read."""

import copy
import json
import shutil
import socket
from pathlib import Path
from typing import Any

import pytest
from small import ROOT, HashedWords

from task_delegator.artifact.format3 import read_format3
from task_delegator.artifact.state import read_state
from task_delegator.artifact.store import load
from task_delegator.delegator import Delegator
from task_delegator.errors import ProgramError
from task_delegator.knobs import KnobValues
from task_delegator.registry.agents import Registry

SHIPPED = ROOT / "program" / "task_delegator" / "compiled" / "default"
FORMAT3 = {
    "k": 3, "bm25": 0.2, "chars": 0.3, "description": 0.0, "sample_best": 0.0,
    "sample_mean": 0.0, "head": 0.66, "late": 0.73, "back": 0.75, "bm25_k1": 1.5,
    "bm25_b": 0.75, "head_c": 3.0, "temperature": 0.99, "phrasings": 0, "ideal": 0,
    "expansion": 0.3, "sure_bias": 0.41, "sure_logit": 0.0, "sure_margin": 0.52,
    "sure_agree": 0.1, "sure_near": 0.2, "sure_foreign": -2.3, "sure_lm_bias": 0.0,
    "sure_lm_logit": 1.0, "sure_lm_margin": 0.0, "sure_lm_agree": 0.0, "sure_lm_near": 0.0,
    "sure_lm_slot_margin": 0.0, "sure_lm_orders": 0.7, "sure_lm_rubric": 0.0,
    "fits_bias": -17.0, "fits_description": 8.3, "fits_sample": 8.2, "fits_head": 1.6,
    "fits_late": 18.4, "fits_logit": 0.18, "gate": 0.0, "lm": 0.0, "orders": 2, "close": 99.0,
    "prior": 0.0, "repeats": 1, "rubric_low": 0.0, "rubric_high": 0.0, "assign": 0.83,
    "fits": 0.22, "split_bias": -1.1, "split_least": 4.9, "split_late": 13.6,
    "split_cue": 2.0, "split_among": 0.48, "split": 0.56, "split_lm": 0,
}  # fmt: skip


@pytest.fixture
def saved(tmp_path, office) -> tuple[Path, Delegator, dict[str, Any]]:
    program = Delegator(office, HashedWords())
    program.classify.select.demos = [{"task": "refund me", "slot": "A", "augmented": True}]
    path = tmp_path / "program.json"
    program.save(str(path))
    return path, program, json.loads(path.read_text())


def test_a_saved_program_is_read(saved):
    path, program, state = saved
    assert read_state(path, program) == state
    again = Delegator(program.registry, HashedWords())
    again.load_state(read_state(path, again))
    assert again.dump_state() == program.dump_state()


PREDICTOR = "classify.select"
IMAGE = (
    '<<CUSTOM-TYPE-START-IDENTIFIER>>[{"type": "image_url", "image_url": {"url": "http://x"}}]'
    "<<CUSTOM-TYPE-END-IDENTIFIER>>"
)
HOSTILE = [
    ((PREDICTOR, "config"), {"api_base": "http://127.0.0.1:9"}, "classify.select.config"),
    ((PREDICTOR, "lm"), {"model": "openai/x", "api_base": "http://x"}, "classify.select.lm"),
    ((PREDICTOR, "traces"), [{"a": 1}], "classify.select.traces"),
    ((PREDICTOR, "train"), [{"a": 1}], "classify.select.train"),
    ((PREDICTOR, "forward"), "x", "classify.select.forward"),
    ((PREDICTOR, "signature", "instructions"), 3, "classify.select.signature.instructions"),
    ((PREDICTOR, "signature", "fields"), [], "signature.fields"),
    ((PREDICTOR, "demos"), [{"task": "x", "api_base": "http://x"}], "demos.0.api_base"),
    ((PREDICTOR, "demos"), [{"task": {"a": [IMAGE]}}], "demos.0"),
    ((PREDICTOR, "demos"), "x", "classify.select.demos"),
    ((PREDICTOR,), None, "classify.select"),
    (("knobs", "lm", "gate"), 1.1, "lm.gate"),
    (("knobs", "retrieval", "k"), 3.5, "retrieval.k"),
    (("knobs", "retrieval", "temperature"), 1e-308, "retrieval.temperature"),
    (("knobs", "retrieval", "bm25"), 1e308, "retrieval.bm25"),
    (("knobs", "confidence", "assign_threshold"), -5, "confidence.assign_threshold"),
    (("knobs", "confidence", "correct", "bias"), 1e308, "confidence.correct.bias"),
    (("knobs", "retrieval", "late"), 1.0, "retrieval.late"),
    (("knobs",), [], "knobs"),
    (("retrieve.learned",), {"A": [1]}, "retrieve.learned"),
    (("retrieve.learned",), {"A": "x"}, "retrieve.learned"),
    (("retrieve.learned",), {"A": ["x" * 200_000] * 2}, "300,000 characters"),
    (("retrieve.learned",), {"A": ["\ufdfa" * 20_000]}, "300,000 characters"),
    (("assess.config",), {}, "assess.config"),
    (("metadata",), {"dependency_versions": {}, "hook": "x"}, "metadata"),
]


@pytest.mark.parametrize(("place", "value", "named"), HOSTILE, ids=lambda x: str(x)[:40])
@pytest.mark.fault("number out of range", "knobs of a program", holds="One line with its place.")
def test_what_no_program_consists_of_is_refused_by_its_place(saved, place, value, named):
    path, program, state = saved
    state = copy.deepcopy(state)
    part: Any = state
    for name in place[:-1]:
        part = part[name]
    part[place[-1]] = value
    path.write_text(json.dumps(state))
    with pytest.raises(ProgramError) as refused:
        read_state(path, program)
    message = str(refused.value)
    assert str(path) in message
    assert named in message
    assert len(message.splitlines()) == 1


def test_the_numbers_of_format_3_are_read_as_groups(saved):
    path, program, state = saved
    path.write_text(json.dumps(state | {"knobs": FORMAT3}))
    values = KnobValues.read(read_state(path, program, written=3)["knobs"])
    assert (values.retrieval.maxsim, values.retrieval.maxsim_reverse) == (0.73, 0.75)
    assert values.confidence.correct.similarity == 0.2
    assert values.confidence.correct_with_lm.order_agreement == 0.7
    assert (values.scope.threshold, values.scope.in_scope.head_margin) == (0.22, 1.6)
    assert values.split.several.weakest_part == 4.9
    assert (values.lm.gate, values.lm.second_order_margin) == (None, None)
    with pytest.raises(ProgramError, match="unknown or missing"):
        read_state(path, program)


@pytest.mark.parametrize(
    ("old", "name", "new"),
    [
        ({"gate": 0.7}, "lm.gate", 0.7),
        ({"gate": 1.01}, "lm.ask_settled", True),
        ({"close": 2.0}, "lm.second_order_margin", 2.0),
        ({"assign": 1.01}, "confidence.assign_threshold", None),
        ({"fits": 0.0}, "scope.threshold", None),
        ({"split": 1.01}, "split.threshold", None),
        ({"ideal": 1}, "expansion.hyde", True),
    ],
)
def test_numbers_that_meant_never_become_none(old, name, new):
    assert read_format3(FORMAT3 | old).flat()[name] == new


@pytest.mark.parametrize("change", [{"k": 20}, {"k": True}, {"lm": "1"}, {"colour": 1}])
def test_impossible_numbers_of_format_3_are_refused(change):
    with pytest.raises(ValueError, match="knob"):
        read_format3(FORMAT3 | change)


@pytest.mark.parametrize(
    ("scores", "place"),
    [
        (5, "calibration: "),
        ({"confidences": "x", "right": "y"}, "calibration.confidences: "),
        ({"confidences": [{}], "right": [True]}, "calibration.confidences.0: "),
        ({"confidences": [float("nan")], "right": [True]}, "calibration.confidences.0: "),
        ({"confidences": [5.0], "right": [True]}, "calibration.confidences.0: "),
        ({"confidences": [0.5]}, "calibration.right: "),
        ({"confidences": [0.5], "right": ["x"]}, "calibration.right.0: "),
        ({"confidences": [0.5], "right": []}, "calibration: .*as many"),
        ({"confidences": [], "right": [], "with_lm": 5}, "calibration.with_lm: "),
        (
            {"confidences": [0.5], "right": [True], "accepted": []},
            "calibration: .*as many accepted",
        ),
        (
            {"confidences": [0.5], "right": [True], "out_of_scope": [2.0]},
            "calibration.out_of_scope.0: ",
        ),
        (
            {"confidences": [0.5], "right": [True], "out_of_scope": [0.5], "n_out_of_scope": 0},
            "calibration: .*n_out_of_scope",
        ),
        (
            {"confidences": [0.5], "right": [True], "n_out_of_scope": 10**12},
            "calibration.n_out_of_scope: ",
        ),
        ({"confidences": [0.5], "right": [True], "promise": 5}, "calibration.promise: "),
        (
            {"confidences": [0.5], "right": [True], "promise": {"delta": 0}},
            "calibration.promise: .*delta 0",
        ),
        (
            {"confidences": [0.5], "right": [True], "promise": {"delta": "a"}},
            "calibration.promise: ",
        ),
        ({"confidences": [], "right": [], "with_lm": {"right": []}}, "calibration.with_lm"),
    ],
)
def test_scores_that_are_none_are_refused_by_their_place(tmp_path, office, scores, place):
    folder = tmp_path / "downloaded"
    shutil.copytree(SHIPPED, folder)
    manifest = json.loads((SHIPPED / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | {"calibration": scores}))
    with pytest.raises(ProgramError, match=f"manifest.json: {place}"):
        load(folder, office, target_precision=0.9)


def test_a_strangers_program_opens_and_contacts_nothing(tmp_path, monkeypatch):
    """Neither its embedder nor its LM is asked for, and its registry paths are not read."""
    folder = tmp_path / "downloaded"
    folder.mkdir()
    (folder / "program.json").write_bytes((SHIPPED / "program.json").read_bytes())
    manifest = json.loads((SHIPPED / "manifest.json").read_text())
    registry = Registry.load(ROOT / "datasets" / "agents.json")
    contacted: list[Any] = []

    def connect(*arguments: Any, **_: Any) -> None:
        contacted.append(arguments)
        raise OSError("no network")

    monkeypatch.setattr(socket.socket, "connect", connect)
    monkeypatch.setattr(socket, "getaddrinfo", connect)
    for spec in ("openai/text-embedding-3-small", "st:/etc", "st:org/model", "", None, 5):
        manifest["embedder"]["spec"] = spec
        (folder / "manifest.json").write_text(json.dumps(manifest))
        with pytest.raises(ProgramError, match="name it"):
            load(folder, registry)
    manifest["embedder"]["spec"] = "minilm-tuned"
    manifest["lm"] = {"spec": "openai/gpt-4o-mini", "model": "x"}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    assert load(folder, registry)("I was billed twice for May").top3
    assert contacted == []


def test_a_program_from_before_some_weights_decides_as_it_did():
    later = (
        *("scope.share", "scope.in_scope.margin", "confidence.correct.maxsim"),
        *("retrieval.rerank", "retrieval.reranked", "retrieval.rerank_below"),
        *("scope.in_scope.rerank", "scope.in_scope_with_lm.rerank"),
    )
    old = KnobValues().model_dump()
    for name in later:
        *groups, last = name.split(".")
        part = old
        for group in groups:
            part = part[group]
        del part[last]
    assert KnobValues.read(old) == KnobValues()
    del old["scope"]["threshold"]
    with pytest.raises(ValueError, match=r"scope\.threshold"):
        KnobValues.read(old)
