"""What others wrote forges no line of the output, moves no cursor and ends in no traceback."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small import HashedWords, office_registry

from task_delegator.artifact.store import MANIFEST, PROGRAM, find, load
from task_delegator.decision import Coverage, Doubts, decide
from task_delegator.delegation import Candidate
from task_delegator.delegator import Delegator
from task_delegator.errors import DelegatorError, InputError, LMSpecError
from task_delegator.feedback import Feedback
from task_delegator.knobs import Thresholds
from task_delegator.lm.weights import find_weights
from task_delegator.registry.agents import Agent, Registry
from task_delegator.system import append_row, read_rows
from task_delegator.system.files import read_json
from task_delegator.text.sanitize import printable

FORGED = "Desk\nassign: root\r\x1b[2J\x9b31m\x85\u2028\u202eksed\u2066\ufeff\x07 \ud800"
FORGING = ("\n", "\r", "\x1b", "\x9b", "\x85", "\u2028", "\u202e", "\u2066", "\ufeff", "\x07")


def is_clean(text: str) -> bool:
    return not any(char in text for char in FORGING) and len(text.splitlines()) <= 1


@given(st.text())
def test_any_text_is_one_line_of_the_same_length_that_can_be_encoded(text):
    shown = printable(text)
    assert is_clean(shown)
    assert len(shown) == len(text)
    assert printable(shown) == shown
    shown.encode()


@pytest.mark.parametrize(
    "text",
    [
        "Refund Desk",
        "Größe, 東京\u3000支店",
        "\u0645\u06cc\u200c\u062e\u0648",
        "👩\u200d💻",
        "e\u0301",
    ],
)
def test_what_people_write_stays_as_it_is(text):
    assert printable(text) == text


@pytest.mark.parametrize("named", [(), (FORGED,), ("other",)])
@pytest.mark.parametrize("confidence", [0.1, 0.99])
@pytest.mark.parametrize("fits", [0.0, 1.0])
@pytest.mark.parametrize("calibrated", [True, False])
@pytest.mark.parametrize("language", [None, "de"])
@pytest.mark.fault("terminal escape", "reasons", holds="One line.")
def test_a_reason_is_one_line_whatever_the_names_hold(
    named, confidence, fits, calibrated, language
):
    found = [Candidate(FORGED, 0.9), Candidate(FORGED + "2", 0.1)]
    _, reason = decide(
        found,
        confidence,
        fits,
        Thresholds(0.9, None),
        Coverage(None if calibrated else "registry"),
        doubts=Doubts(language=language, named=named),
    )
    assert is_clean(reason)


def test_an_agent_that_is_named_is_found_by_its_name_and_not_by_how_it_is_shown():
    decision, _ = decide(
        [Candidate(FORGED, 1.0)], 1.0, 1.0, Thresholds(0.9, None), doubts=Doubts(named=[FORGED])
    )
    assert decision == "assign"


@pytest.mark.fault("terminal escape", "errors", holds="One line, not too long.")
def test_every_error_is_one_line_without_passwords_and_not_too_long():
    message = f"{FORGED}: http://ann:hun@ter22@host/x?api_key=s3cr3t&n=1 " + "x" * 5000
    for kind in (DelegatorError, InputError):
        error = kind(message)
        assert is_clean(str(error))
        assert is_clean(repr(error))
        assert "ter22" not in repr(error)
        assert "s3cr3t" not in repr(error)
        assert "http://host/x?api_key=…&n=1" in str(error)
        assert len(str(error)) <= 1000
        assert str(kind(str(error))) == str(error)


@pytest.fixture
def agents(tmp_path):
    """Return a file of agents with a sample that forges lines, and a name that is not ASCII."""
    rows = [
        {"name": "Desk", "description": "pays money back"},
        {"name": "Bücher", "description": "orders books"},
        {"name": "Copy", "description": "orders books", "user_request_samples": [FORGED[:-1]]},
    ]
    path = tmp_path / "agents.json"
    path.write_text(json.dumps(rows))
    return path


Ran = tuple[int, str, str]  # code, output, errors

# Commands stand in the arguments with this between them; after each, it ends either stream.
_BETWEEN = "--then--"
_COMMANDS = f"""
import itertools, sys
from task_delegator.cli import main

for then, words in itertools.groupby(sys.argv[1:], lambda word: word == "{_BETWEEN}"):
    if not then:
        code = main(list(words))
        print(code, end="{_BETWEEN}", flush=True)
        print(end="{_BETWEEN}", file=sys.stderr, flush=True)
"""


def run_each(
    *commands: Sequence[str | bytes], encoding: str = "utf-8", stdin: str = "", utf8: str = "0"
) -> list[Ran]:
    """Run commands one after another in a process of their own, which takes a second to start."""
    words = [word for command in commands for word in (*command, _BETWEEN)]
    done = _process(["-c", _COMMANDS, *words], encoding, stdin, utf8)
    outputs = done.stdout.decode().split(_BETWEEN)
    errors = done.stderr.decode().split(_BETWEEN)
    assert (done.returncode, len(outputs), outputs[-1]) == (0, len(commands) + 1, ""), errors[-1]
    return [
        (int(output[-1]), output[:-1], error)
        for output, error in zip(outputs[:-1], errors[:-1], strict=True)
    ]


def run(*arguments: str | bytes, encoding: str = "utf-8", stdin: str = "", utf8: str = "0") -> Ran:
    """Run one command as a user does; the code is that of the process."""
    done = _process(["-m", "task_delegator.cli", *arguments], encoding, stdin, utf8)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def _process(
    arguments: Sequence[str | bytes], encoding: str, stdin: str, utf8: str
) -> subprocess.CompletedProcess[bytes]:
    environment = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": utf8, "PYTHONIOENCODING": encoding}
    return subprocess.run(
        [sys.executable, *arguments],
        env=environment, capture_output=True, input=stdin.encode(), timeout=120, check=False,
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
@pytest.mark.fault(
    "terminal escape",
    "names of agents",
    holds="Printed on one line, without control and direction characters.",
)
def test_the_command_prints_any_name_on_one_line_in_any_encoding(agents, encoding):
    where = ("--agents", str(agents), "--enrichment", "none")
    outputs = run_each(
        ("delegate", "pay my money back", *where),
        ("delegate", "--plan", "pay it\x1b[2J\u202eback", *where),
        ("lint", "--agents", str(agents)),
        encoding=encoding,
    )
    for code, out, err in outputs:
        assert code == 0, err
        assert "Traceback" not in err
        lines = out.split("\n") + err.split("\n")
        assert all(is_clean(line) for line in lines)
        assert not any(line.startswith("assign: root") for line in lines)
    assert len(outputs[0][1].split("\n")) == 3 + 3 + 1
    assert ("Bücher" if encoding == "utf-8" else r"B\xfccher") in outputs[0][1]


@pytest.mark.slow
def test_json_stays_json_in_ascii(agents):
    where = ("--agents", str(agents), "--enrichment", "none")
    code, out, _ = run("delegate", "--json", "pay my money back", *where, encoding="ascii")
    assert code == 0
    assert {c["name"] for c in json.loads(out)["top3"]} == {"Desk", "Bücher", "Copy"}


def test_feedback_on_a_task_that_is_no_text_is_refused_in_a_line(agents, tmp_path):
    log = tmp_path / "log.jsonl"
    rest = ("--nobody", "--agents", str(agents), "--log", str(log))
    tasks = (b"pay \xff\xfe back", b"", b"  \n")
    for code, out, err in run_each(*(("feedback", task, *rest) for task in tasks)):
        assert (code, out) == (2, "")
        assert err.count("\n") == 1
        assert err.startswith("task-delegator: ")
    assert not log.exists()


def test_feedback_is_printed_as_json_that_no_terminal_obeys(agents, tmp_path):
    code, out, _ = run(
        "feedback", "pay \u202e\x1b[2J", "--nobody", "--agents", str(agents),
        "--log", str(tmp_path / "log.jsonl"), encoding="ascii", utf8="1",
    )  # fmt: skip
    assert code == 0
    assert out.isascii()
    assert "\x1b" not in out
    assert json.loads(out)["correct_agent"] is None


def test_feedback_with_half_a_character_writes_nothing(tmp_path):
    for row in (
        Feedback(task="a\udcff", correct_agent=None),
        Feedback(task="a", correct_agent="\ud800"),
        Feedback(task="a", correct_agent=None, source="\udcff"),
    ):
        with pytest.raises(InputError, match="no UTF-8"):
            append_row(tmp_path / "log.jsonl", row)
    assert not (tmp_path / "log.jsonl").exists()


@pytest.fixture
def pipe(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    return path


@pytest.mark.parametrize(
    "read",
    [
        read_json,
        Registry.load,
        lambda path: list(read_rows(path)),
    ],
    ids=["json", "registry", "tasks"],
)
def test_a_pipe_is_refused_and_not_waited_for(pipe, read):
    with pytest.raises(InputError, match="pipe: not a regular file"):
        read(pipe)


def test_a_pipe_is_no_model_and_no_program(pipe, tmp_path):
    with pytest.raises(LMSpecError, match="not a regular file"):
        find_weights(str(pipe))
    folder = tmp_path / "program"
    folder.mkdir()
    shutil.copy(find("default") / MANIFEST, folder / MANIFEST)
    os.mkfifo(folder / PROGRAM)
    with pytest.raises(DelegatorError, match="not a regular file"):
        load(folder, office_registry())


@pytest.mark.slow
def test_the_command_refuses_a_pipe_and_reads_standard_input(agents, pipe, tmp_path):
    where = ("--agents", str(agents), "--enrichment", "none")
    out = str(tmp_path / "out.jsonl")
    code, _, err = run("batch", str(pipe), out, *where)
    assert code == 2
    assert "not a regular file" in err
    for name in ("-", "/dev/stdin"):
        code, _, err = run("batch", name, out, *where, stdin='{"task": "pay my money back"}\n')
        assert code == 0, err
        assert "wrote 1 delegations" in err


@pytest.mark.parametrize("content", ["[" * 100_000, "[" + "9" * 5000 + "]"])
@pytest.mark.fault("hostile content", "any JSON", holds="One line.")
def test_json_that_python_cannot_hold_is_refused_in_a_line(tmp_path, content):
    path = tmp_path / "odd.json"
    path.write_text(content + "\n")
    for read in (read_json, lambda path: list(read_rows(path))):
        with pytest.raises(InputError, match="broken JSON"):
            read(path)


def test_names_of_any_kind_pass_through_a_delegation_as_they_are():
    forged = Agent(name="Desk", description="pays money back").model_copy(update={"name": FORGED})
    agents = [forged, *office_registry()]
    delegation = Delegator(Registry(agents), HashedWords())("pay my money back")
    assert FORGED in delegation.evidence.ranking
    assert is_clean(delegation.reason)
    assert json.loads(json.dumps(delegation.to_dict()))["top3"][0] == asdict(delegation.top3[0])
