"""Whatever stands in the place of a file that is read: one line, exit code 2, and soon."""

import copy
import json
import shutil
import sys
from typing import Any

import pytest
from hostile import CONTENTS, SPECIAL, folder, refuses
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small import ROOT, office_registry

from task_delegator.artifact.store import load
from task_delegator.cli import main
from task_delegator.errors import InputError, ProgramError
from task_delegator.registry.agents import Registry

SHIPPED = ROOT / "program" / "task_delegator" / "compiled" / "default"
AGENTS = ROOT / "datasets" / "agents.json"

READ = {  # each kind of file, by the command that reads it, {} its path, and its name
    "agents": ("agents.json", ["lint", "--agents", "{}"]),
    "enrichment": ("enrichment.json", ["delegate", "--agents", "agents.json", "pay"]),
    "tokens": ("tokens.json", ["serve", "--agents", "agents.json", "--tokens", "{}"]),
    "tasks": ("tasks.jsonl", ["batch", "--agents", "agents.json", "{}", "out.jsonl"]),
    "program": (
        "p/program.json",
        ["delegate", *("--agents", "agents.json", "--program", "p"), "x"],
    ),
    "manifest": (
        "p/manifest.json",
        ["delegate", *("--agents", "agents.json", "--program", "p"), "x"],
    ),
}


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with a registry and a program, where the commands run."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(AGENTS, tmp_path / "agents.json")
    shutil.copytree(SHIPPED, tmp_path / "p")
    return tmp_path


@pytest.mark.parametrize("kind", READ)
@pytest.mark.fault(
    "hostile content",
    "agents, enrichment, tasks, program, manifest, tokens: nesting, NaN, long numbers, keys that stand twice, half characters, NUL",
    holds="One line, exit code 2, within 5 seconds.",
)
def test_no_content_of_a_file_is_more_than_a_line(kind, place, capsys):
    name, command = READ[kind]
    faults = {}
    for label, content in CONTENTS.items():
        (place / name).write_bytes(content)
        if fault := refuses(main, place / name, command, capsys):
            faults[label] = fault
    assert faults == {}


@pytest.mark.parametrize("kind", READ)
@pytest.mark.fault(
    "no regular file",
    "FIFO, device, folder or link in the place of a file",
    holds="One line, exit code 2, within 5 seconds; no other file is shown.",
)
def test_what_is_no_file_is_refused_in_a_line(kind, place, capsys):
    name, command = READ[kind]
    faults = {}
    for make in SPECIAL:
        if (place / name).exists():
            (place / name).unlink()
        make(place / name)
        if fault := refuses(main, place / name, command, capsys):
            faults[make.__name__] = fault
        (place / name).rmdir() if make is folder else (place / name).unlink()
    assert faults == {}


@pytest.mark.parametrize("name", ["../p", "p/../../p", "../../../../../../etc", "x" * 5000, "a\0b"])
@pytest.mark.fault("name with `../`", "`--program`", holds="One line; nothing outside is opened.")
def test_a_program_is_found_by_its_path_or_not_at_all(name, place, capsys):
    command = ["delegate", "--agents", "agents.json", "--program", name, "pay"]
    assert refuses(main, place, command, capsys) == ""


ODD = st.sampled_from(
    [
        *(None, True, -1, 0, 2**63, 10**400, 1e308, -1e308, float("nan"), float("inf")),
        *("", "x", "\ud800", "\x1b[2J", "../../etc/passwd", "http://127.0.0.1:9/"),
        *([], {}, [[]], [None], {"": None}, ["x" * 100_000]),
        *({"api_base": "http://127.0.0.1:9/"}, {"lm": {"model": "openai/x"}}),
    ]
)


def require_line(error: Exception) -> None:
    assert str(error).isprintable()
    assert len(str(error)) <= 1000


def places_of(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the places of every value within a value, by their keys."""
    inner = value.items() if isinstance(value, dict) else ()
    inner = enumerate(value[:5]) if isinstance(value, list) else inner
    return [path, *(each for key, held in inner for each in places_of(held, (*path, key)))]


def changed(value: Any, path: tuple[Any, ...], odd: Any, key: str | None) -> Any:
    """Return a value with another at a place, or, where a key is given, beside it."""
    value = copy.deepcopy(value)
    if not path:
        return odd
    held = value
    for step in path[:-1]:
        held = held[step]
    if key is not None and isinstance(held, dict):
        held[key] = odd
    else:
        held[path[-1]] = odd
    return value


PARTS = {
    part: json.loads((SHIPPED / f"{part}.json").read_text()) for part in ("program", "manifest")
}
PLACES = [(part, place) for part, value in PARTS.items() for place in places_of(value)]


@pytest.mark.slow
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    at=st.sampled_from(PLACES),
    odd=ODD,
    key=st.none() | st.sampled_from(["api_base", "lm", "config", "callbacks", "__class__", "x"]),
)
@pytest.mark.fault("hostile content", "a program, any one value", holds="One line, or it works.")
def test_a_program_of_which_one_value_is_odd_is_refused_or_works(place, at, odd, key):
    part, where = at
    content = json.dumps(changed(PARTS[part], where, odd, key))
    (place / "p" / f"{part}.json").write_text(content)
    try:
        program = load("p", office_registry(), embedder=None, target_precision=0.9)
        delegation = program("refund my order")
        assert 0 <= delegation.confidence <= 1
        json.dumps(delegation.to_dict(), allow_nan=False)
    except ProgramError as error:
        require_line(error)
    finally:
        shutil.copy(SHIPPED / f"{part}.json", place / "p" / f"{part}.json")


WORDS = json.loads(AGENTS.read_text())[:3]
FACTS = [(where, WORDS) for where in places_of(WORDS)]


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.sampled_from(FACTS), odd=ODD, key=st.none() | st.sampled_from(["", "x", "Name"]))
@pytest.mark.fault("hostile content", "a registry, any one value", holds="One line, or it works.")
def test_a_registry_of_which_one_value_is_odd_is_refused_or_works(place, at, odd, key):
    where, agents = at
    (place / "odd.json").write_text(json.dumps(changed(agents, where, odd, key)))
    try:
        registry = Registry.load(place / "odd.json")
        registry.lint()
        registry.sha256()
    except InputError as error:
        require_line(error)


@pytest.mark.parametrize("said", ["\x1b[31mred", "\u202eno", "one\ntwo"])
def test_what_a_terminal_obeys_or_a_second_line_counts_as_no_refusal(tmp_path, capsys, said):
    def main(_):
        sys.stderr.write(f"{said}\n")
        return 2

    assert refuses(main, tmp_path, [], capsys) != ""
