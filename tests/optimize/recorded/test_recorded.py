"""A recorded LM answers as a hosted provider does, through DSPy's own adapters."""

import asyncio
import copy
import json
import math
import pickle
from dataclasses import replace
from typing import Literal

import dspy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small import HashedWords, office_registry, public

from optimize.__main__ import main
from optimize.recorded import check_spec, language_model, recorded_lm
from task_delegator.delegator import Delegator
from task_delegator.errors import InputError, LMError, LMSpecError
from task_delegator.knobs import LMKnobs
from task_delegator.signatures import SLOTS, SelectAgent, WeighAgents
from task_delegator.stages import ClassifyAgent, Shortlist

pytestmark = pytest.mark.slow  # shortlists are asked about many times

OFFICE = list(office_registry())
NAMES = [agent.name for agent in OFFICE]
TASK = "Send the  money\nback [[now]]"
ROW = {
    "split": "test",
    "task": TASK,
    "probs": {"Refunds": 0.7, "Invoices": 0.2, "Payroll": 0.04},
    "none": 0.06,
}
REGISTRY = {"kind": "registry", "agents": NAMES}


def folder(path, *rows, name="office"):
    path.mkdir(exist_ok=True)
    (path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def answers(tmp_path):
    return folder(tmp_path / "answers", REGISTRY, ROW)


def believed(lm, agents=OFFICE, task=TASK, **knobs):
    """Return the belief by agent's name, "" for none, and where it comes from."""
    with dspy.context(lm=lm):
        shortlist = Shortlist(tuple(agents))
        belief = ClassifyAgent().ask(task, shortlist, LMKnobs(**knobs)).belief
    slots = dict(zip(SLOTS, [agent.name for agent in agents], strict=False))
    return {slots.get(s, ""): p for s, p in belief.probabilities.items()}, belief.source


def restricted(row, names):
    shares = {name: row["probs"].get(name, 0.0) for name in names}
    return shares | {"": 1 - math.fsum(shares.values())}


@st.composite
def recorded_rows(draw):
    weights = draw(st.lists(st.integers(0, 50), min_size=7, max_size=7).filter(any))
    shares = [weight / sum(weights) for weight in weights]
    listed = {name: p for name, p in zip(NAMES, shares, strict=False) if p > 0}
    return {"split": "test", "task": "pay", "probs": listed, "none": shares[-1]}


@given(recorded_rows(), st.lists(st.sampled_from(OFFICE), min_size=1, unique=True))
def test_the_distribution_is_the_recorded_one_over_the_agents_shown(tmp_path_factory, row, shown):
    where = folder(tmp_path_factory.mktemp("rows"), REGISTRY, row)
    belief, source = believed(recorded_lm(f"recorded:{where}"), shown, "pay")
    assert source == "logprobs"
    assert belief == pytest.approx(restricted(row, [a.name for a in shown]), abs=1e-3)


def test_an_agent_is_believed_alike_in_every_place(answers):
    lm = recorded_lm(f"recorded:{answers}")
    first, _ = believed(lm)
    again, _ = believed(lm, OFFICE[3:] + OFFICE[:3])
    assert first == pytest.approx(again)
    assert first["Refunds"] == pytest.approx(0.7, abs=1e-3)


def test_without_log_probabilities_the_answer_is_believed_or_a_distribution_is_asked_for(answers):
    lm = recorded_lm(f"recorded:{answers}?logprobs=off")
    belief, source = believed(lm, repeats=1)
    assert (max(belief, key=lambda name: belief[name]), source) == ("Refunds", "answer")
    belief, source = believed(lm, repeats=0)
    assert source == "verbalized"
    assert belief == pytest.approx(restricted(ROW, NAMES))


def test_a_structured_answer_ranks_the_three_likeliest_as_recorded(answers):
    written = recorded_lm(f"recorded:{answers}?logprobs=off&answer=sample")
    belief, source = believed(written, answer="ranking")
    assert source == "verbalized"
    expected = restricted(ROW, NAMES)
    ranked = sorted(expected, key=lambda name: -expected[name])[:3]
    assert {name: belief[name] for name in ranked} == pytest.approx(
        {name: expected[name] for name in ranked}, abs=0.02
    )
    assert believed(written, OFFICE[::-1], answer="ranking")[0] == pytest.approx(belief)
    belief, source = believed(recorded_lm(f"recorded:{answers}"), answer="ranking")
    assert source == "logprobs"
    assert belief == pytest.approx(expected, abs=1e-3)


def test_drawn_answers_come_as_often_as_they_are_believed(answers):
    spec = f"recorded:{answers}?logprobs=off&answer=sample&seed=3"
    lm = recorded_lm(spec)
    beliefs = [believed(lm, repeats=20) for _ in range(30)]
    assert {source for _, source in beliefs} == {"repeated"}
    mean = {name: sum(belief[name] for belief, _ in beliefs) / 30 for name in beliefs[0][0]}
    assert mean == pytest.approx(restricted(ROW, NAMES), abs=0.05)
    assert believed(recorded_lm(spec), repeats=20) == believed(recorded_lm(spec), repeats=20)
    other = recorded_lm(spec.replace("seed=3", "seed=4"))
    assert believed(recorded_lm(spec), repeats=20) != believed(other, repeats=20)


@pytest.mark.parametrize("adapter", [dspy.ChatAdapter, dspy.JSONAdapter, dspy.XMLAdapter])
def test_every_adapter_reads_the_answer(answers, adapter):
    inputs = {"task": "Send the money back [now]", "candidates": "A) Payroll\nB) Refunds - pays"}
    lm = recorded_lm(f"recorded:{answers}")
    with dspy.context(lm=lm, adapter=adapter()):
        select = dspy.Predict(SelectAgent)
        select.demos = [{"task": "a demo", "candidates": "A) Refunds", "slot": "A"}]
        chosen = select(**inputs)
        reasoned = dspy.ChainOfThought(SelectAgent)(**inputs)
        weighed = dspy.Predict(WeighAgents)(**inputs)
    assert (chosen.slot, reasoned.slot) == ("B", "B")
    assert reasoned.reasoning
    assert weighed.slot.probabilities["B"] == pytest.approx(0.7)
    assert weighed.slot.probabilities["Z"] == pytest.approx(0.26)
    for said in (chosen, reasoned):
        (token,) = [each for each in said.logprobs["content"] if len(each["top_logprobs"]) > 1]
        assert token["token"] == "B"
        assert [each["token"] for each in token["top_logprobs"]] == ["B", "Z", "A"]
    assert "".join(t["token"] for t in chosen.logprobs["content"]) == lm.history[0]["outputs"][0]["text"]  # fmt: skip


class WithoutNone(dspy.Signature):
    """Choose."""

    task: str = dspy.InputField()
    candidates: str = dspy.InputField()
    slot: Literal["A", "B"] = dspy.OutputField()


def test_where_none_cannot_be_answered_its_share_is_spread(answers):
    with dspy.context(lm=recorded_lm(f"recorded:{answers}"), adapter=dspy.JSONAdapter()):
        said = dspy.Predict(WithoutNone)(task=TASK, candidates="A) Invoices\nB) Refunds")
    top = next(t["top_logprobs"] for t in said.logprobs["content"] if t["token"] == "B")
    shares = {each["token"]: math.exp(each["logprob"]) for each in top}
    assert shares == pytest.approx({"A": 2 / 9, "B": 7 / 9})


@pytest.mark.parametrize(("asked", "most"), [(20, 20), (5, 5), (50, 20), (0, 0)])
def test_at_most_twenty_alternatives_come(tmp_path, asked, most):
    names = [f"Agent {number}" for number in range(26)]
    rest = {"split": "test", "task": "go", "probs": {"Agent 3": 1.0}, "none": 0.0}
    where = folder(tmp_path, {"kind": "registry", "agents": names}, rest)
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    signature = SelectAgent.with_updated_fields("slot", type_=Literal[tuple(letters)])  # type: ignore[valid-type]
    shown = "\n".join(f"{slot}) {n}" for slot, n in zip(letters[:-1], names, strict=False))
    lm = recorded_lm(f"recorded:{where}").copy(top_logprobs=asked)
    with dspy.context(lm=lm, adapter=dspy.JSONAdapter()):
        said = dspy.Predict(signature)(task="go", candidates=shown)
    (token,) = [t for t in said.logprobs["content"] if t["token"] == "D"]
    assert len(token["top_logprobs"]) == most


def test_what_was_not_recorded_is_refused_in_one_line(answers):
    lm = recorded_lm(f"recorded:{answers}")
    stranger = OFFICE[0].model_copy(update={"name": "Catering"})
    for task, agents, cause in (
        ("Send the money back [now] please", OFFICE, "no answer to this task, among 1"),
        ("back", OFFICE, "no answer to this task"),
        (TASK, [*OFFICE, stranger], "agents that were not shown"),
    ):
        with pytest.raises(LMError, match=cause) as refused:
            believed(lm, agents, task)
        assert "\n" not in str(refused.value)
        assert "recorded:answers" in str(refused.value)


def test_the_agents_shown_tell_whose_answer_is_meant(answers):
    other = {"split": "test", "task": TASK, "probs": {"Bank": 0.9, "Refunds": 0.1}, "none": 0.0}
    folder(answers, other, name="bank")
    lm = recorded_lm(f"recorded:{answers}")
    assert believed(lm)[0]["Refunds"] == pytest.approx(0.7, abs=1e-3)
    bank = OFFICE[0].model_copy(update={"name": "Bank"})
    assert believed(lm, [bank, OFFICE[0]])[0]["Bank"] == pytest.approx(0.9, abs=1e-3)
    with pytest.raises(LMError, match="different answers; choose file= of bank, office"):
        believed(lm, OFFICE[:1])
    chosen = recorded_lm(f"recorded:{answers}?file=bank.jsonl")
    assert believed(chosen, OFFICE[:1])[0]["Refunds"] == pytest.approx(0.1, abs=1e-3)


def test_a_file_of_shortlists_is_read_where_it_is_named(answers):
    row = {**ROW, "shortlist": NAMES[:3], "probs": {"Refunds": 1.0}, "none": 0.0}
    folder(answers, row, name="office_shortlists")
    assert believed(recorded_lm(f"recorded:{answers}"))[0]["Refunds"] < 0.8
    lists = recorded_lm(f"recorded:{answers}?file=office_shortlists")
    assert believed(lists, OFFICE[1::-1])[0]["Refunds"] > 0.99
    with pytest.raises(LMError, match="were not shown"):
        believed(lists, OFFICE)


def test_one_split_can_be_kept(answers):
    assert believed(recorded_lm(f"recorded:{answers}?split=test"))[1] == "logprobs"
    with pytest.raises(LMError, match="this task, among 0"):
        believed(recorded_lm(f"recorded:{answers}?split=validation"))


def test_other_questions_are_answered_where_rows_of_their_kind_exist(tmp_path):
    rated = {"split": "test", "kind": "rubric", "task": TASK, "agent": "Refunds"}
    phrased = {"split": "test", "kind": "phrasings", "task": TASK}
    rows = (
        {**rated, "answer": {"rubric": 4, "reasoning": "near"}},
        {**phrased, "answer": {"phrasings": ["pay back", "refund"]}},
    )
    lm = recorded_lm(f"recorded:{folder(tmp_path, REGISTRY, *rows)}")
    rate = dspy.ChainOfThought("task, agent, rivals -> rubric: int")
    phrase = dspy.Predict("task, number: int -> phrasings: list[str]")
    for adapter in (dspy.ChatAdapter(), dspy.JSONAdapter(), dspy.XMLAdapter()):
        with dspy.context(lm=lm, adapter=adapter):
            said = rate(task=TASK, agent="Refunds - pays money back", rivals="Payroll")
            assert (said.rubric, said.reasoning) == (4, "near")
            assert phrase(task=TASK, number=2).phrasings == ["pay back", "refund"]
            with pytest.raises(dspy.LMError, match="a question for 'summary'"):
                dspy.Predict("task -> summary")(task=TASK)
    with pytest.raises(dspy.LMError, match="no prompt of a DSPy signature"):
        lm("hello")


def test_tokens_are_counted(answers):
    lm = recorded_lm(f"recorded:{answers}")
    with dspy.track_usage() as tracker:
        believed(lm)
    ((_, usage),) = tracker.get_total_tokens().items()
    assert 200 < usage["prompt_tokens"] < 500
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]


def test_copies_answer_alike_and_names_tell_recordings_apart(answers):
    lm = recorded_lm(f"recorded:{answers}")
    for twin in (copy.deepcopy(lm), lm.copy(temperature=0.0), pickle.loads(pickle.dumps(lm))):
        assert believed(twin) == believed(lm)
    with dspy.context(lm=lm, adapter=dspy.JSONAdapter()):
        said = asyncio.run(dspy.Predict(SelectAgent).acall(task=TASK, candidates="A) Refunds"))
    assert said.slot == "A"
    names = {recorded_lm(f"recorded:{answers}{o}").model for o in ("", "?seed=1", "?file=office")}
    folder(answers, REGISTRY)
    assert len(names | {recorded_lm(f"recorded:{answers}").model}) == 4


@pytest.mark.parametrize(
    ("options", "cause"),
    [
        ("?colour=red", "unknown option 'colour'; use also, file, split"),
        ("?answer=best", "answer must be one of argmax, sample"),
        ("?split=dev", "split must be one of train"),
        ("?logprobs=maybe", "logprobs must be one of on, off"),
        ("?seed=x", "seed and unlisted are numbers"),
        ("?unlisted=0", "unlisted must be above 0"),
        ("?file", "options look like"),
    ],
)
def test_an_option_that_cannot_be_is_refused(answers, options, cause):
    with pytest.raises(LMSpecError, match=cause):
        check_spec(f"recorded:{answers}{options}")


@pytest.mark.parametrize(
    ("row", "cause"),
    [
        ("{", "line 1: no JSON"),
        ("[]", "expected a JSON object"),
        (json.dumps({**ROW, "none": 0.5}), "sum to 1.440, not 1"),
        (json.dumps({**ROW, "none": None}), "no number from 0 to 1"),
        (json.dumps({**ROW, "split": "dev"}), "'split' must be one of"),
        (json.dumps({**ROW, "task": 5}), "'task' must be a text"),
        (json.dumps({**ROW, "shortlist": "x"}), "'shortlist' must be a list"),
        (json.dumps({**ROW, "kind": "rubric", "answer": {"a": 1}}), "'kind' must be the fields"),
        (json.dumps(ROW) + "\n" + json.dumps({**ROW, "probs": {"Ada": 0.94}}), "line 2: recorded"),
        (json.dumps({**REGISTRY, "agents": ["a_b", "a b"]}), "look the same"),
    ],
)
def test_a_broken_row_is_named(tmp_path, row, cause):
    (tmp_path / "office.jsonl").write_text(row)
    with pytest.raises(InputError, match=cause):
        recorded_lm(f"recorded:{tmp_path}")


def test_a_missing_folder_ends_a_command_in_one_line(capsys):
    assert main(["evaluate", "default", "--lm", "recorded:nowhere"]) == 2
    assert "nowhere: no such folder of recorded answers" in capsys.readouterr().err


def test_the_program_s_specs_stay():
    with pytest.raises(LMSpecError, match="unknown LM 'nonsense'"):
        language_model("nonsense")


def test_the_large_lm_s_answers_can_all_be_read():
    where = public("lm_answers")
    for path in sorted(where.glob("*.jsonl")):
        assert recorded_lm(f"recorded:{where}?file={path.name}").model.startswith("recorded/")
    assert recorded_lm(f"recorded:{where}")


def test_a_second_folder_is_read_beside_the_first(answers, tmp_path):
    row = {"split": "train", "task": "another", "probs": {"Payroll": 0.9}, "none": 0.1}
    also = folder(tmp_path / "also", REGISTRY, row)
    alone = recorded_lm(f"recorded:{answers}")
    both = recorded_lm(f"recorded:{answers}?also={also}")
    assert believed(both)[0] == believed(alone)[0]
    assert believed(both, task="another")[0]["Payroll"] == pytest.approx(0.9, abs=1e-3)
    assert alone.model != both.model


WAYS = {"": 1, "?logprobs=off": 0}  # log-probabilities, or a distribution that is written down


class Shuffled(Delegator):
    """A program whose LM is shown the shortlist in another order."""

    order: tuple[int, ...] = ()

    def _shortlist(self, found, query, knobs):
        shown = super()._shortlist(found, query, knobs)
        return replace(shown, agents=tuple(shown.agents[place] for place in self.order))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("orders", [1, 2])
@settings(max_examples=15)
@given(recorded_rows(), st.permutations(range(len(NAMES))))
def test_shuffling_the_shortlist_changes_no_answer(tmp_path_factory, way, orders, row, order):
    where = folder(tmp_path_factory.mktemp("rows"), REGISTRY, row)
    lm, seen = recorded_lm(f"recorded:{where}{way}"), []
    for places in (tuple(range(len(NAMES))), tuple(order)):
        program = Shuffled(office_registry(), HashedWords(), calibrated_for=None)
        program.order = places
        program.knobs.set(
            {
                "retrieval.k": 6,
                "lm.ask_settled": True,
                "lm.weight": 1.0,
                "lm.orders": orders,
                "lm.repeats": WAYS[way],
                "scope.in_scope_with_lm.none_logit": -1.0,
                "scope.threshold_with_lm": 0.3,
                "confidence.correct_with_lm.slot_margin": 0.5,
                "confidence.assign_threshold_with_lm": 0.6,
            }
        )
        with dspy.context(lm=lm):
            seen.append(program("pay", permissions=["hr.pay"]))
    plain, shuffled = seen
    assert shuffled.evidence.lm is not None
    said = shuffled.evidence.lm
    assert said.probabilities == pytest.approx(plain.evidence.lm.probabilities)
    assert said.none == pytest.approx(plain.evidence.lm.none)
    assert (shuffled.decision, shuffled.agent) == (plain.decision, plain.agent)
    assert [c.name for c in shuffled.top3] == [c.name for c in plain.top3]
    assert shuffled.confidence == pytest.approx(plain.confidence)
    assert shuffled.evidence.in_scope_score == pytest.approx(plain.evidence.in_scope_score)
