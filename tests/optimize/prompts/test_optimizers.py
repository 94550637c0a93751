"""Every optimiser, on a student that answers from a table, at a small budget."""

import re
from dataclasses import replace
from typing import Any

import dspy
import pytest
from dspy.utils.callback import BaseCallback
from recorded import recorded_lm
from small import delegator, small_dataset

from optimize.cli.arguments import OPTIMIZER_NAMES
from optimize.data.dataset import Request, load_dataset
from optimize.prompts.examples import examples, right_slot, slot_feedback
from optimize.prompts.optimizers import OPTIMIZERS, optimize
from optimize.prompts.student import OptimizerInputs
from task_delegator.artifact.state import check_predictor
from task_delegator.delegator import Delegator
from task_delegator.errors import LMError
from task_delegator.signatures import SLOTS

SLOW = {"bootstrap-random-search", "better-together", "mipro", "gepa", "simba", "copro"}


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    dataset = load_dataset(small_dataset(tmp_path_factory.mktemp("data")))
    return Delegator(dataset.registry), dataset.splits["train"]


@pytest.fixture(scope="module")
def shown(program):
    return examples(*program, seed=0)


def brief(shown, calls, teacher):
    return OptimizerInputs(
        calls, shown[6:14], shown[:6], right_slot, slot_feedback, teacher, seed=0
    )


def answers(shown):
    """Return an LM that knows two thirds of the answers, and writes instructions when asked."""
    known = {example.task: example.slot for i, example in enumerate(shown) if i % 3}

    def answer(prompt: str) -> str:
        tasks = re.findall(r"## task ## \]\]\n(.*?)\n", prompt)
        if re.findall(r"\[\[ ## (\w+) ## \]\]", prompt)[-1:] == ["candidates"]:
            return f'{{"slot": "{known.get(tasks[-1], "A")}"}}'
        return (
            "[[ ## reasoning ## ]]\nx\n[[ ## proposed_instruction ## ]]\nPick the best agent.\n"
            "[[ ## proposed_prefix_for_output_field ## ]]\nSlot:\n"
            "[[ ## improved_instruction ## ]]\nRead every line twice.\n"
            "[[ ## natural_language_rules ## ]]\nRead every line.\n[[ ## completed ## ]]"
        )

    return recorded_lm(answer)


def test_the_table_and_the_command_line_name_the_same():
    assert tuple(OPTIMIZERS) == OPTIMIZER_NAMES


def test_examples_hold_the_right_agent_in_either_order(shown):
    assert len(shown) > 20
    assert len({example.slot for example in shown}) > 3
    for example in shown:
        lines = [line.split(")")[0] for line in example.candidates.splitlines()]
        assert lines == list(SLOTS[: len(lines)])
        assert example.slot in example.acceptable
        assert set(example.acceptable) <= set(lines)


def test_examples_show_only_agents_that_every_caller_may_see(office):
    requests = [Request("my salary is late", ("Payroll",)), Request("book a train", ("Travel",))]
    (example,) = examples(delegator(office), requests, seed=0)
    assert example.task == "book a train"
    assert "Travel" in example.candidates
    assert "Payroll" not in example.candidates


def test_feedback_names_the_confused_pair(shown):
    example = shown[0]
    wrong = next(s for s in SLOTS[:5] if s not in example.acceptable)
    lines = dict(line.split(") ", 1) for line in example.candidates.splitlines())
    said = slot_feedback(example, dspy.Prediction(slot=wrong))
    assert (said.score, slot_feedback(example, dspy.Prediction(slot=example.slot)).score) == (0, 1)
    assert lines[wrong] in said.feedback
    assert lines[example.slot] in said.feedback


@pytest.mark.parametrize("name", [
    pytest.param(name, marks=pytest.mark.slow if name in SLOW else ()) for name in OPTIMIZERS
])  # fmt: skip
@pytest.mark.filterwarnings("ignore")  # the optimisers' own
def test_an_optimiser_keeps_to_its_budget(program, shown, name):
    lm, engine = answers(shown)
    select = program[0].classify.select
    before = select.dump_state()
    made = optimize(name, select, lm, brief(shown, 90, lm))
    assert select.dump_state() == before
    assert made.calls == len(engine.prompts) <= 90
    assert made.select is not None
    signature: Any = made.select.signature
    assert set(signature.output_fields) == {"slot"}
    for demo in made.select.demos:
        assert {"task", "candidates", "slot"} <= set(demo)
    check_predictor(made.select.dump_state(), made.select, name)  # what can be loaded again
    the_chosen_one_is_among_the_candidates(name, made)


@pytest.mark.parametrize("name", [
    pytest.param(name, marks=pytest.mark.slow if name in SLOW else ()) for name in OPTIMIZERS
])  # fmt: skip
@pytest.mark.filterwarnings("ignore")  # the optimisers' own
def test_the_fewest_calls_that_an_optimizer_asks_for_are_enough_for_it(program, shown, name):
    lm, _ = answers(shown)
    given = brief(shown, 0, lm)
    least = OPTIMIZERS[name].least(len(given.trainset), len(given.valset))
    given = replace(given, calls=least)
    assert OPTIMIZERS[name].expected(given) <= least
    made = optimize(name, program[0].classify.select, lm, given)
    assert made.select is not None
    assert made.candidates


def the_chosen_one_is_among_the_candidates(name, made):
    prompts = [(c.instructions, len(c.demos)) for c in made.candidates]
    assert (made.select.signature.instructions, len(made.select.demos)) in prompts
    scores = [candidate.score for candidate in made.candidates]
    if name in SLOW:
        # GEPA keeps what is better: other words are not, for an LM that answers from a table.
        assert len(scores) > 1 or name == "gepa"
        assert all(0 <= score <= 1 for score in scores)
        assert max(scores) > 0.1  # a share, not a share of a per cent
    else:
        assert scores == [None]
    for candidate in made.candidates:
        for demo in candidate.demos:
            assert set(demo) == {"task", "candidates", "slot"}


def test_an_optimiser_asks_for_no_log_probabilities(program, shown):
    """They would stand in the demos, and in what GEPA and SIMBA read of an answer."""
    asked = []

    class Seen(BaseCallback):
        def on_lm_start(self, call_id, instance, inputs) -> None:
            asked.append(instance.kwargs)

    lm, _ = answers(shown)
    lm = lm.copy(logprobs=True, top_logprobs=500)
    with dspy.context(callbacks=[Seen()]):
        made = optimize("bootstrap", program[0].classify.select, lm, brief(shown, 30, lm))
    assert made.calls == len(asked) > 0
    assert not any({"logprobs", "top_logprobs"} & set(kwargs) for kwargs in asked)


@pytest.mark.filterwarnings("ignore")  # the optimiser's own
def test_rules_that_cannot_be_read_at_once_fit_the_budget(program, shown):
    """DSPy asks for what it cannot read in other formats, which costs calls."""
    lm, _ = answers(shown)

    def mumble(prompt: str) -> str:
        if "[[ ## natural_language_rules ## ]]" in prompt.rpartition("Respond with")[2]:
            return "well"
        return '{"reasoning": "x", "natural_language_rules": "Read every line."}'

    teacher, engine = recorded_lm(mumble)
    made = optimize("infer-rules", program[0].classify.select, lm, brief(shown, 60, teacher))
    assert made.select is not None
    assert made.calls <= 60
    written = [prompt for prompt in engine.prompts if "examples_text" in prompt]
    assert len(written) >= 4


def test_the_limit_is_hard(program, shown):
    lm, engine = answers(shown)
    made = optimize("copro", program[0].classify.select, lm, brief(shown, 4, lm))
    assert (made.select, made.candidates) == (None, ())
    assert made.calls == len(engine.prompts) == 4


def test_an_lm_that_fails_stops_the_optimiser(program, shown):
    def refuse(prompt: str) -> str:
        raise RuntimeError("out of order")

    lm, _ = recorded_lm(refuse)
    with pytest.raises(LMError, match="--optimizer bootstrap: the LM did not answer"):
        optimize("bootstrap", program[0].classify.select, lm, brief(shown, 30, lm))


@pytest.mark.parametrize("name", ["copro", "infer-rules"])
@pytest.mark.filterwarnings("ignore")  # the optimisers' own
def test_a_teacher_that_cannot_be_read_stops_the_optimiser(program, shown, name):
    lm, _ = answers(shown)
    mumbling, _ = recorded_lm(lambda prompt: "well")
    told = brief(shown, 60, mumbling)
    with pytest.raises(LMError, match=f"--optimizer {name}: the teacher's answers could not be"):
        optimize(name, program[0].classify.select, lm, told)
