"""Every format is read, its original kept, and nothing is taken over in silence."""

import json
import logging

import pytest
from cards import A2A_03, A2A_10, CATALOG, FILES, OPENAI, SERVER, SKILL, TOOLS_LIST
from small import public

from task_delegator import cli
from task_delegator.errors import InputError
from task_delegator.registry import Registry, tool_names
from task_delegator.registry.formats import read_agents


@pytest.fixture
def folder(tmp_path):
    for name, text in FILES.items():
        path = tmp_path / "sources" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "sources"


def one(path, text, **options):
    """Return what a file of this text gives."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text if isinstance(text, str) else json.dumps(text))
    return read_agents([path], **options)


def by_name(read):
    assert read.refused == ()
    return {agent.name: agent for agent in read.agents}


def original(agent):
    return agent.model_extra["imported"]["original"]


def test_a_folder_of_all_formats_is_read(folder):
    agents = read_agents([folder / name for name in sorted({n.split("/")[0] for n in FILES})])
    assert agents.refused == ()
    assert agents.formats == {
        "a2a": 2,
        "agent": 4,
        "ard": 3,
        "docker-mcp": 1,
        "markdown": 2,
        "mcp": 1,
        "openai": 2,
    }


@pytest.mark.parametrize("card", [A2A_03, A2A_10], ids=["0.3", "1.0"])
def test_a_card_is_an_agent_with_its_skills_as_tools(tmp_path, card):
    agent = by_name(one(tmp_path / "card.json", card))[card["name"]]
    assert agent.description == card["description"]
    assert tool_names(agent) == tuple(skill["name"] for skill in card["skills"])
    assert agent.user_request_samples == tuple(card["skills"][0]["examples"])
    assert original(agent) == card


def test_each_skill_may_be_an_agent(tmp_path):
    agents = by_name(one(tmp_path / "card.json", A2A_03, split="skills"))
    assert list(agents) == ["Parcel Desk: Track", "Parcel Desk: Redirect"]
    assert agents["Parcel Desk: Redirect"].description == "Sends it elsewhere."
    assert agents["Parcel Desk: Redirect"].user_request_samples == ()
    kept = original(agents["Parcel Desk: Track"])
    assert kept == {**A2A_03, "skills": A2A_03["skills"][:1]}


def test_a_catalogue_gives_its_entries_and_those_of_catalogues_in_it(tmp_path):
    read = one(tmp_path / "ai-catalog.json", CATALOG)
    agents = by_name(read)
    assert list(agents) == ["Mail Desk", "Travel", "urn:air:acme.com:agent:deep"]
    mail, travel = agents["Mail Desk"], agents["Travel"]
    assert mail.user_request_samples == ("sort my inbox", "what is unread")
    assert (mail.tools, mail.domain) == (("Sorter",), "Acme")
    assert original(mail) == CATALOG["entries"][0]
    assert (travel.description, travel.user_request_samples) == (
        "Books trains.",
        ("A seat to Porto",),
    )
    assert any("entry 3" in note and "elsewhere" in note for note in read.notes)


def test_a_server_has_the_tools_beside_it(folder):
    path = folder / "mcp" / "weather" / "server.json"
    agent = by_name(read_agents([path]))["Weather"]
    assert tool_names(agent) == ("forecast", "wipe")
    assert original(agent) == {"server": SERVER, "tools": TOOLS_LIST["tools"]}
    assert by_name(read_agents([path.parent])).keys() == {"Weather"}
    tools = by_name(read_agents([path], split="skills"))
    assert list(tools) == ["Weather: forecast", "Weather: wipe"]
    assert original(tools["Weather: wipe"])["tools"] == TOOLS_LIST["tools"][1:]


@pytest.mark.parametrize(
    "wrap", [lambda t: t, lambda t: t["tools"], lambda t: {"id": 1, "result": t}]
)
def test_tools_without_a_server_are_agents(tmp_path, wrap):
    agents = by_name(one(tmp_path / "x.json", wrap(TOOLS_LIST)))
    assert list(agents) == ["forecast", "wipe"]
    assert original(agents["forecast"]) == TOOLS_LIST["tools"][0]


def test_an_answer_of_a_registry_of_servers_is_read(tmp_path):
    answer = {"servers": [{"server": SERVER, "_meta": {}}], "metadata": {"count": 1}}
    agent = by_name(one(tmp_path / "x.json", answer))["Weather"]
    assert original(agent) == answer["servers"][0]


def test_a_namespace_of_tools_is_an_agent_or_one_for_each_function(tmp_path):
    read = one(tmp_path / "x.json", {"model": "m", "tools": OPENAI})
    agents = by_name(read)
    assert list(agents) == ["crm", "add"]
    assert original(agents["crm"]) == OPENAI[0]
    assert any("tool_search is done by the provider" in note for note in read.notes)
    split = by_name(one(tmp_path / "x.json", OPENAI, split="skills"))
    assert list(split) == ["crm.find_customer", "add"]


def test_front_matter_and_body_are_kept_to_the_letter(tmp_path):
    agent = by_name(one(tmp_path / "pdf-forms" / "SKILL.md", SKILL))["pdf-forms"]
    assert agent.description == "Fills in PDF forms."
    assert agent.use_when == "Use when a form must be filled."
    assert agent.do_not_use_when == "Do not use for scanned paper."
    assert agent.instructions == "# PDF forms\n\nRead the fields first."
    assert agent.domain == "documents"
    assert SKILL.startswith(original(agent))
    assert original(agent) + "\n" + agent.instructions + "\n" == SKILL


def test_a_file_names_its_agent_where_nothing_else_does(folder):
    agent = by_name(read_agents([folder / "agents"]))["tester"]
    assert agent.tools == ("search", "edit/editFiles")
    assert agent.description == "Plans tests."


def test_yaml_is_read_as_the_json_it_could_be(folder):
    ada = Registry.load(folder / "own" / "agents.yaml")
    assert [(a.kind, a.user_request_samples) for a in ada] == [("human", ("no", "2026-01-01"))]


def test_foreign_permissions_are_told_and_not_taken_over(folder):
    read = read_agents([folder / "a2a", folder / "mcp", folder / "agents"])
    assert all(agent.required_permissions == frozenset() for agent in read.agents)
    (note,) = [note for note in read.notes if "permissions" in note]
    for told in ("'Parcel Desk' (login)", "'Travel Desk' (key)", "wipe", "'tester'", "--require"):
        assert told in note
    guarded = read_agents([folder / "a2a"], require=["post"])
    assert all(agent.required_permissions == {"post"} for agent in guarded.agents)


def test_permissions_in_a_foreign_object_are_told_whatever_its_format(tmp_path):
    tool = {"type": "function", "name": "wipe", "parameters": {}, "permissions": ["admin"]}
    read = one(tmp_path / "x.json", [tool])
    assert by_name(read)["wipe"].required_permissions == frozenset()
    assert "'wipe' (permissions)" in " ".join(read.notes)


def test_the_command_says_whose_own_permissions_are_kept(tmp_path, capsys):
    card = A2A_03 | {"required_permissions": ["a"]}
    (tmp_path / "x.json").write_text(json.dumps([card]))
    out = tmp_path / "agents.json"
    assert cli.main(["import", str(tmp_path / "x.json"), "--out", str(out)]) == 0
    assert "are kept as files of agents say: 'Parcel Desk'" in capsys.readouterr().err
    assert [agent.required_permissions for agent in Registry.load(out)] == [{"a"}]


def test_own_permissions_stay_and_more_may_be_required(tmp_path):
    rows = [{"name": "A", "required_permissions": ["a"]}]
    (agent,) = one(tmp_path / "x.json", rows).agents
    assert agent.required_permissions == {"a"}
    (agent,) = one(tmp_path / "x.json", rows, require=["b"]).agents
    assert agent.required_permissions == {"a", "b"}


@pytest.mark.fault("look-alike name", "`import`", holds="Refused, with both places.")
def test_same_names_are_refused_unless_they_get_a_namespace(tmp_path):
    other = A2A_03 | {"description": "Another.", "provider": {"organization": "Rival"}}
    one(tmp_path / "a.json", A2A_03)
    one(tmp_path / "b.json", other)
    read = read_agents([tmp_path])
    assert read.agents == ()
    (line,) = read.refused
    assert "'Parcel Desk'" in line
    assert f"{tmp_path}/a.json" in line
    assert line.startswith(f"{tmp_path}/b.json: ")
    assert "--namespace" in line
    named = by_name(read_agents([tmp_path], namespace=""))
    assert list(named) == ["Example Post/Parcel Desk", "Rival/Parcel Desk"]
    assert original(named["Rival/Parcel Desk"]) == other
    assert len(read_agents([tmp_path / "a.json"], namespace="acme").agents) == 1


def test_the_same_card_twice_is_one_agent(tmp_path):
    one(tmp_path / "a.json", A2A_03)
    one(tmp_path / "b.json", A2A_03)
    read = read_agents([tmp_path])
    assert by_name(read).keys() == {"Parcel Desk"}
    assert any("the same as" in note for note in read.notes)


@pytest.mark.fault("terminal escape", "texts of cards", holds="Stripped when they are imported.")
def test_foreign_text_moves_no_cursor_and_hides_nothing(tmp_path):
    card = A2A_03 | {"name": "A\n\u202eB\x1b[31m", "description": "x\u202ey\x07\nz"}
    (agent,) = one(tmp_path / "card.json", card).agents
    assert not any(c in agent.name + agent.description for c in "\u202e\x1b\x07")
    assert original(agent) == card


@pytest.mark.fault("terminal escape", "tools that cards name", holds="Stripped, however deep.")
def test_what_a_card_says_of_tools_in_our_extension_is_cleaned(tmp_path):
    tools = [{"name": "x\x1b]0;pwn\x07", "description": "y\u202e", "more": [{"deep": "\x9b"}]}]
    ours = {"uri": "urn:task-delegator:agent:1", "params": {"tools": tools, "use_when": "\x1b"}}
    card = A2A_03 | {"capabilities": {"extensions": [ours]}}
    (agent,) = one(tmp_path / "card.json", card).agents
    shown = agent.model_dump_json(exclude={"imported"}, ensure_ascii=False)
    assert shown.isprintable()
    assert "\\u" not in shown
    assert tool_names(agent) == ("x\ufffd]0;pwn\ufffd",)


OURS = {"use_when": "", "required_permissions": [" pay"], "user_request_samples": ["a\u202eb"]}


@pytest.mark.fault("terminal escape", "cards with fields of ours", holds="Stripped.")
@pytest.mark.parametrize("listed", [False, True])
def test_a_card_with_a_field_of_ours_is_cleaned_and_stays_guarded(tmp_path, listed):
    card = A2A_03 | OURS | {"description": "x\x1by", "tools": [{"name": "a\x07"}]}
    (agent,) = one(tmp_path / "x.json", [card] if listed else card).agents
    assert agent.description == "x\ufffdy"
    assert agent.user_request_samples == ("a\ufffdb",)
    assert tool_names(agent) == ("a\ufffd",)
    assert agent.required_permissions == {" pay"}


def test_agents_of_ours_that_are_no_card_keep_their_texts_to_the_letter(tmp_path):
    row = OURS | {"name": "A", "description": "\u200f\u0646\u0635 ", "url": "x", "more": "\u200e"}
    (agent,) = one(tmp_path / "x.json", [row]).agents
    assert agent.description == row["description"]
    assert agent.model_extra == {"url": "x", "more": "\u200e"}


def test_a_registry_is_loaded_from_foreign_files_and_says_what_it_left_out(folder, caplog):
    with caplog.at_level(logging.WARNING):
        registry = Registry.load(folder / "a2a")
    assert {agent.name for agent in registry} == {"Parcel Desk", "Travel Desk"}
    assert "not taken over" in caplog.text
    registry.save(folder / "out.json")
    assert Registry.load(folder / "out.json").sha256() == registry.sha256()


@pytest.mark.fault(
    "misspelled field", "JSON, JSONL and YAML", holds="Refused, with the right spelling."
)
def test_a_misspelled_guard_of_our_own_agents_is_refused_in_every_format(tmp_path):
    for name, text in {
        "a.yaml": "- name: A\n  required_permission: [x]\n",
        "a.jsonl": '{"name": "A", "required_permission": ["x"]}\n',
    }.items():
        (tmp_path / name).write_text(text)
        with pytest.raises(InputError, match="did you mean 'required_permissions'"):
            Registry.load(tmp_path / name)


@pytest.mark.parametrize(
    ("folder", "agents", "refused"),
    [("a2a", 124, 0), ("mcp", 27, 0), ("agent_md", 52, 0), ("skills", 62, 0), ("ard", 7, 2)],
)
@pytest.mark.parametrize("split", ["cards", "skills"])
def test_real_cards_are_read_or_refused_with_the_reason(folder, agents, refused, split):
    read = read_agents([public("cards") / "raw" / folder], split=split)
    assert len(read.agents) >= agents
    assert len(read.refused) == refused
    assert all("expected a JSON list of agents" in line for line in read.refused)
    Registry(read.agents).lint()


@pytest.mark.parametrize(
    ("folder", "agents", "refusals"), [("copilot", 639, 107), ("docker_mcp", 323, 0)]
)
def test_of_real_registries_the_requests_beside_them_are_refused(folder, agents, refusals):
    read = read_agents([public("cards") / folder])
    assert len(read.agents) == agents
    assert read.refusals >= refusals
    assert len(read.refused) == min(6, refusals)
    assert all("requests.jsonl" in line for line in read.refused)
