"""No task and no answer of an LM takes more than linear time, whatever it is made of."""

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from dspy.utils.exceptions import AdapterParseError
from small import ROOT, HashedWords, office_registry

from task_delegator.delegator import Delegator
from task_delegator.languages import foreign_language
from task_delegator.lm import BoundedJSONAdapter
from task_delegator.registry.agents import Registry
from task_delegator.settings import MAX_TASK_CHARACTERS
from task_delegator.signatures import RephraseTask, SelectAgent, SplitTask, WeighAgents
from task_delegator.stages.clauses import clauses, count_cues, cuts, follows, items, without_link
from task_delegator.text.credentials import without_user
from task_delegator.text.fine import without_fine
from task_delegator.text.identifiers import identifier_words
from task_delegator.text.mentions import AgentMentions
from task_delegator.text.opposites import opposite_operation
from task_delegator.text.overlap import fold, words
from task_delegator.text.quoted import own_words
from task_delegator.text.redact import describe_error, redact
from task_delegator.text.sanitize import one_line, plain, printable

# Half a minute of processor time, not beside an LM that takes a processor from both.
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("embedded LM")]
GOAL = 0.2  # seconds of this thread's processor: within it, growth is not looked at
CAP = 2.0
GROWTH = 12  # of four times the text, with room for a busy machine

NAMES = [agent.name for agent in Registry.load(ROOT / "datasets" / "agents.json")]
KINDS = {
    "blanks": " ",
    "tabs": "\t",
    "wide blanks": "\N{NO-BREAK SPACE}",
    "lines": "\n",
    "commas": ",",
    "commas and blanks": ", ",
    "full stops": ".",
    "sentences": "a. ",
    "brackets": "[",
    "closing brackets": "]",
    "pairs of brackets": "[]",
    "parentheses": "(",
    "braces": "{",
    "open braces": "{a",
    "keys": '"a":',
    "double quotes": '"',
    "single quotes": "'",
    "stray quotes": '"a"b',
    "quotes in a list": '"a",',
    "comments": "/*",
    "backslashes": "\\",
    "escapes": "\\u",
    "a name": "Refund Desk ",
    "names": " ".join(NAMES) + " ",
    "accents": "\u0301",
    "accents out of order": "\u0301\u0323",
    "marks made of marks": "\u0f73",
    "a character that means eighteen": "\ufdfa",
    "jamo": "\u1100",
    "capital sigma": "\u03a3",
    "and": "and ",
    "and then": "and then ",
    "comma and please": ", and please ",
    "digits": "7",
    "list numbers": "1. ",
    "references": "&#",
    "percent": "%",
    "addresses": "://",
    "parameters": "?key",
    "users": "//a:",
    "users without a scheme": "a:b",
    "encoded parameters": "%3Ba%3D",
    "deeply encoded": "%25",
    "headers": "cookie:",
    "keys of JSON": "'key':",
    "options": "--key ",
    "terminal escapes": "\x1b[",
    "terminal titles": "\x1b]",
    "credentials": "bearer ",
    "one word": "a",
}
OPENINGS = ("", "&#", "://")
ANSWERS = ("", '{"slot": "', '{"slot": ', '{"phrasings": [', '{"phrasings": "[', "```json\n")


def mentioned(text: str) -> object:
    mentions = AgentMentions(NAMES)
    return mentions.strip_from(text)


def cut(text: str) -> object:
    pieces = clauses(text)
    linked = [(without_link(piece), follows(piece)) for piece in pieces]
    return list(cuts(pieces, 3)), linked, items(text)


def quoted(text: str) -> object:
    return redact("cannot serve the request " * 20, [text], [text])


TASKS: dict[str, Callable[[str], object]] = {
    "plain": plain,
    "one_line": one_line,
    "own_words": own_words,
    "without_fine": without_fine,
    "printable": printable,
    "mentions": mentioned,
    "language": lambda text: foreign_language(text, ["en"]),
    "words": words,
    "fold": fold,
    "clauses": cut,
    "cues": count_cues,
    "redact": redact,
    "quoted": quoted,
    "error": lambda text: describe_error(ValueError(text), [text], [text]),
    "address": without_user,
    "identifier": identifier_words,
    "opposite": lambda text: opposite_operation(text, text, [text]),
}


def parsed(text: str) -> None:
    for signature in (SelectAgent, WeighAgents, RephraseTask, SplitTask):
        for answer in (text, json.dumps({"slot": text, "phrasings": text, "parts": text})):
            try:
                BoundedJSONAdapter().parse(signature, answer)
            except AdapterParseError:
                continue


def seconds(work: Callable[[str], object], text: str) -> float:
    """Return the time of this thread's processor that a call takes."""
    started = time.thread_time()
    work(text)
    return time.thread_time() - started


def slow(
    work: Callable[[str], object],
    openings: Any,
    size: int = MAX_TASK_CHARACTERS,
    kinds: Any = KINDS,
    cap: float = CAP,
) -> dict[tuple[str, str], tuple[float, float]]:
    """Return the kinds of text, by opening, that take too long: their seconds."""
    work("to load what is loaded once")
    found = {}
    for name in kinds:
        unit = KINDS[name]
        for opening in openings:
            text = (opening + unit * size)[:size]
            took = seconds(work, text)
            if took <= GOAL:
                continue
            few = seconds(work, text[: size // 4])
            if took > min(cap, GROWTH * few):
                # A process that runs much else collects its garbage in between: the best of three.
                took = min(took, *(seconds(work, text) for _ in range(2)))
                if took > GOAL and took > min(cap, GROWTH * few):
                    found[opening, name] = few, took
    return found


@pytest.mark.parametrize("work", TASKS.values(), ids=TASKS)
def test_reading_a_task_takes_linear_time(work):
    assert slow(work, OPENINGS if work in (redact, quoted, without_user) else [""]) == {}


@pytest.mark.parametrize("size", [2900, 7900, MAX_TASK_CHARACTERS])
def test_reading_an_answer_takes_linear_time(size):
    assert slow(parsed, ANSWERS, size) == {}


@pytest.fixture(scope="module")
def program():
    return Delegator(office_registry(), HashedWords())


def test_delegating_and_planning_take_linear_time(program):
    def both(text: str) -> None:
        task = f"refund it {text}"[:MAX_TASK_CHARACTERS]
        program(task)
        program.plan(task)

    # A plan looks at every run of its clauses: some twenty tasks.
    assert slow(both, [""], kinds=("blanks", "tabs", "sentences", "and"), cap=20 * CAP) == {}
