"""What others wrote ends in one line that says what is wrong, and opens nothing else."""

import contextlib
import json
import os
import time

import pytest
from cards import A2A_03, SERVER, SKILL
from hypothesis import given
from hypothesis import strategies as st

from task_delegator import cli
from task_delegator.errors import InputError
from task_delegator.registry.formats import draft, read_agents
from task_delegator.registry.formats.yaml_text import parse_yaml

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("x.yaml", "a: &a [1]\nb: *a\n", "line 2: aliases"),
        ("x.yaml", "- &a [x]\n" + "- [*a, *a]\n" * 9, "aliases"),
        ("x.yaml", "a: !!python/object/apply:os.system [id]\n", "line 1"),
        ("x.yaml", "a: !!binary aGk=\n", "line 1"),
        ("x.yaml", "name: A\nname: B\n", "line 2.*'name' stands twice"),
        ("x.yaml", "? [a]\n: b\n", "key is no text"),
        ("x.yaml", "a: [\n", "broken YAML"),
        ("x.yaml", "[" * 3000, "deeper than 100 levels"),
        ("x.yaml", "- " * 60_000 + "x", "deeper than 100 levels"),  # a crash of the process before
        ("SKILL.md", "---\nname: x\ntools: " + "- " * 60_000 + "x\n---\n", "broken YAML"),
        ("x.yaml", "[" * 200 + "]" * 200, "deeper than 100 levels"),
        ("x.yaml", "- " + "a" * 4_000_001, "characters: split it"),
        ("x.yaml", "- {a: b}\n" * 221_000, "more than 400,000 keys and values"),
        ("x.yaml", "[" + "a," * 900_000 + "]", "more than 400,000 keys and values"),
        ("x.yaml", "name: \x07\n", "broken YAML"),
        ("x.jsonl", '{"name": "A"\n', "line 1"),
        ("x.jsonl", "{}\n" * 50, "45 more are refused"),
        ("SKILL.md", "name: x\n", "no front matter"),
        ("SKILL.md", "---\n- a\n---\n", "expected keys and values"),
        ("SKILL.md", "---\nname: [a]\n---\n", "name: expected a text"),
        ("SKILL.md", SKILL.replace("metadata", "tools: {a: 1}\ntools"), "stands twice"),
        ("SKILL.md", SKILL + "x" * 100_001, "at most 100000 characters"),
        ("x.json", A2A_03 | {"skills": [1]}, "skills: expected a list of objects"),
        ("x.json", A2A_03 | {"name": ""}, "name is missing or empty"),
        ("x.json", A2A_03 | {"name": "x" * 201}, "at most 200 characters"),
        ("x.json", A2A_03 | {"description": 5}, "description: expected a text, got int"),
        ("x.json", A2A_03 | {"skills": [{"id": "a", "examples": "b"}]}, "skill 0: examples"),
        ("x.json", A2A_03 | {"skills": [{"id": "a"}] * 1001}, "at most 1000 items"),
        ("x.json", SERVER | {"name": 7}, "name: expected a text"),
        ("x.json", {"specVersion": "1.0", "entries": [3]}, "entries: expected a list of objects"),
        ("x.json", "[" + "1," * 100_000 + "1]", "has more than 100,000 agents: split it"),
        ("x.jsonl", "1\n" * 100_001, "has more than 100,000 lines: split it"),
        ("x.yaml", "---\n1\n" * 100_001, "has more than 100,000 documents: split it"),
        ("x.json", {"specVersion": "1.0", "entries": [{}] * 100_001}, "100,000 entries: split it"),
        ("x.json", [{"name": "x"} | dict.fromkeys(map(str, range(400_000)))], "400,001 fields"),
        ("x.json", [{"name": "x", "q" + "rmissio" * 800_000: 1}], "5,600,001 characters: shorten"),
        ("x.json", {"type": "object", "properties": {}}, "expected a JSON list of agents"),
        ("x.json", {"name": "a-package", "version": "1"}, "expected a JSON list of agents"),
    ],
)
@pytest.mark.fault(
    "hostile content",
    "cards, servers, tools, skills, YAML",
    holds="One line with its place, within 5 seconds.",
)
def test_a_broken_file_is_refused_in_one_line(tmp_path, name, text, message):
    path = tmp_path / name
    path.write_text(text if isinstance(text, str) else json.dumps(text))
    started = time.monotonic()
    read = read_agents([path])
    assert time.monotonic() - started < 5
    assert read.agents == ()
    assert read.refused
    lines = [str(InputError(line)) for line in read.refused]
    assert all(line.startswith(str(path)) and "\n" not in line for line in lines)
    with pytest.raises(InputError, match=message):
        raise InputError(" ".join(lines))


@pytest.mark.parametrize("name", ["x.json", "x.jsonl", "x.yaml", "SKILL.md", "x.agent.md"])
@pytest.mark.fault("100 MB", "agents in any format", holds="One line, within 5 seconds.")
def test_a_huge_file_is_refused_before_it_is_read(tmp_path, name):
    path = tmp_path / name
    with path.open("wb") as file:
        file.write(b"[")
        file.truncate(100_000_000)  # of holes
    started = time.monotonic()
    assert read_agents([path]).refused == (
        f"{path}: has more than 50,000,000 bytes; split it, or leave something out",
    )
    assert time.monotonic() - started < 5


@pytest.mark.fault("hostile content", "catalogues in one another", holds="One line.")
def test_catalogues_in_one_another_end(tmp_path):
    catalog = {"specVersion": "1.0", "entries": []}
    for _ in range(12):
        entry = {"displayName": "x", "type": "application/ai-catalog+json", "data": catalog}
        catalog = {"specVersion": "1.0", "entries": [entry]}
    path = tmp_path / "ai-catalog.json"
    path.write_text(json.dumps(catalog))
    (line,) = read_agents([path]).refused
    assert "more than 10 catalogues in one another" in line


@pytest.mark.fault(
    "no regular file",
    "links, FIFOs and hidden files in a folder of cards",
    holds="They are not opened.",
)
def test_links_pipes_and_hidden_files_of_a_folder_are_not_opened(tmp_path):
    outside = tmp_path / "outside.json"
    outside.write_text(json.dumps([{"name": "Secret"}]))
    folder = tmp_path / "in"
    (folder / ".hidden").mkdir(parents=True)
    (folder / ".hidden" / "a.json").write_text(json.dumps([{"name": "Hidden"}]))
    (folder / "link.json").symlink_to(outside)
    (folder / "linked").symlink_to(tmp_path)
    os.mkfifo(folder / "pipe.json")
    (folder / "mcp").mkdir()
    (folder / "mcp" / "server.json").write_text(json.dumps(SERVER))
    (folder / "mcp" / "tools.json").symlink_to(outside)
    read = read_agents([folder])
    assert [agent.name for agent in read.agents] == ["Weather"]
    assert [agent.tools for agent in read.agents] == [()]
    assert any("link.json: a link is not followed" in note for note in read.notes)
    (line,) = read.refused
    assert "pipe.json: not a regular file" in line


def test_an_empty_or_missing_folder_is_refused(tmp_path):
    assert "holds no file of agents" in read_agents([tmp_path]).refused[0]
    assert "no such file" in read_agents([tmp_path / "gone"]).refused[0]


@given(
    st.dictionaries(st.sampled_from([*A2A_03, *SERVER, "entries", "type", "tools"]), JSON_VALUES)
)
@pytest.mark.fault(
    "hostile content", "cards and servers, any object", holds="Read, or refused in one line."
)
def test_any_object_is_read_or_refused(tmp_path_factory, values):
    path = tmp_path_factory.mktemp("any") / "x.json"
    path.write_text(json.dumps([values, A2A_03 | values]))
    read = read_agents([path], split="skills", namespace="x")
    assert all("\n" not in str(InputError(line)) for line in read.refused)
    json.dumps([agent.to_dict() for agent in read.agents])


@given(st.text())
@pytest.mark.fault("hostile content", "YAML, any text", holds="Read, or refused in one line.")
def test_any_text_is_yaml_or_refused(text):
    with contextlib.suppress(InputError):
        json.dumps(parse_yaml(text, "x"))


@pytest.mark.parametrize("more", [[], ["--keep-going"]])
def test_the_command_says_all_that_is_refused_and_writes_the_rest_only_when_told(
    capsys, tmp_path, more
):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "good.json").write_text(json.dumps(A2A_03))
    (tmp_path / "in" / "bad.json").write_text("[")
    (tmp_path / "in" / "ugly.yaml").write_text("a: *b")
    (tmp_path / "in" / "requests.jsonl").write_text('{"task": "x"}\n' * 20)
    out = tmp_path / "agents.json"
    assert cli.main(["import", str(tmp_path / "in"), "--out", str(out), *more]) == 2
    said = capsys.readouterr().err
    assert "bad.json" in said
    assert "ugly.yaml" in said
    assert "line 1: name is missing: add it" in said
    assert "22 refused" in said
    assert out.exists() == bool(more)


def test_the_command_writes_a_registry(capsys, tmp_path):
    (tmp_path / "card.json").write_text(json.dumps(A2A_03))
    out = tmp_path / "agents.json"
    arguments = ["import", str(tmp_path / "card.json"), "--out", str(out), "--require", "a, b"]
    assert cli.main([*arguments, "--split", "skills", "--namespace", "post"]) == 0
    assert "wrote 2 agents" in capsys.readouterr().err
    rows = json.loads(out.read_text())
    assert [row["name"] for row in rows] == [
        "post/Parcel Desk: Track",
        "post/Parcel Desk: Redirect",
    ]
    assert rows[0]["required_permissions"] == ["a", "b"]


def test_a_file_of_lines_may_hold_as_many_agents_as_one_of_json(tmp_path, monkeypatch):
    monkeypatch.setattr(draft, "MOST", 2)
    agents = [{"name": "Refunds"}, {"name": "Travel"}]
    lines, listed = tmp_path / "x.jsonl", tmp_path / "x.json"
    lines.write_text("".join(json.dumps(agent) + "\n" for agent in agents))
    listed.write_text(json.dumps(agents))
    assert read_agents([lines]).agents == read_agents([listed]).agents != ()
