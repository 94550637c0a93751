"""A registry is written as cards or a catalogue, and read back."""

import json

import pytest
from cards import A2A_03, A2A_10, CATALOG, SERVER, TOOLS_LIST
from hypothesis import given
from hypothesis import strategies as st
from small import public

from task_delegator import cli
from task_delegator.errors import InputError
from task_delegator.registry import Agent, Registry, Tool
from task_delegator.registry.formats import catalog, read_agents

URL = "https://agents.example.com"
PUBLISHED = ("name", "description", "tools", "user_request_samples", "use_when",
             "do_not_use_when", "kind", "domain")  # fmt: skip

# What any text is on import: one that can be shown, without blanks around it.
TEXTS = st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1, max_size=20)
TOOLS = TEXTS | st.fixed_dictionaries({"name": TEXTS}, optional={"description": TEXTS})
AGENTS = st.builds(
    Agent,
    name=TEXTS.filter(lambda name: any(map(str.isalnum, name))),
    description=TEXTS | st.just(""),
    instructions=TEXTS,
    tools=st.lists(TOOLS, max_size=3).map(tuple),
    user_request_samples=st.lists(TEXTS, max_size=7, unique=True).map(tuple),
    use_when=TEXTS,
    do_not_use_when=TEXTS,
    required_permissions=st.frozensets(TEXTS, max_size=2),
    kind=st.sampled_from(["ai", "human"]),
    domain=TEXTS | st.just(""),
)


def published(agent):
    values = agent.to_dict()
    return {key: values[key] for key in PUBLISHED}


def again(tmp_path, written):
    path = tmp_path / "catalog.json"
    path.write_text(json.dumps(written))
    read = read_agents([path])
    assert read.refused == ()
    return read.agents


@pytest.mark.parametrize("format_", ["a2a", "ard"])
@given(agents=st.lists(AGENTS, max_size=4, unique_by=lambda agent: agent.name.casefold()))
def test_what_is_written_is_read_back(tmp_path_factory, format_, agents):
    try:
        Registry(agents)
    except InputError:
        return  # names that look the same
    read = again(tmp_path_factory.mktemp("out"), catalog(agents, format_, URL))
    assert [published(agent) for agent in read] == [published(agent) for agent in agents]
    assert all(not agent.required_permissions and not agent.instructions for agent in read)


@pytest.mark.parametrize("format_", ["a2a", "ard"])
def test_instructions_and_permissions_are_not_published(format_):
    agent = Agent(
        name="A", instructions="secret words", required_permissions=frozenset({"secret.right"})
    )
    assert "secret" not in json.dumps(catalog([agent], format_, URL))


def test_what_came_as_a_card_or_an_entry_goes_out_as_it_came(tmp_path):
    cards = [A2A_03, A2A_10]
    assert catalog(again(tmp_path, cards), "a2a", URL) == cards
    (tmp_path / "ai-catalog.json").write_text(json.dumps(CATALOG))
    entries = catalog(read_agents([tmp_path / "ai-catalog.json"]).agents, "ard", URL)["entries"]
    inner = CATALOG["entries"][2]["data"]["entries"][0]
    assert entries == [*CATALOG["entries"][:2], inner]


def test_a_card_that_was_changed_keeps_what_we_know_nothing_of(tmp_path):
    (agent,) = again(tmp_path, [A2A_03])
    changed = agent.model_copy(update={"description": "Finds parcels."})
    (card,) = catalog([changed], "a2a", URL)
    assert card["description"] == "Finds parcels."
    kept = ("url", "version", "provider", "securitySchemes", "security", "protocolVersion")
    assert {key: card[key] for key in kept} == {key: A2A_03[key] for key in kept}
    assert "supportedInterfaces" not in card
    assert [published(a) for a in again(tmp_path, [card])] == [published(changed)]


def test_a_server_goes_out_as_a_server(tmp_path):
    (tmp_path / "server.json").write_text(json.dumps(SERVER))
    (tmp_path / "tools.json").write_text(json.dumps(TOOLS_LIST))
    (agent,) = read_agents([tmp_path / "server.json"]).agents
    (entry,) = catalog([agent], "ard", URL)["entries"]
    assert entry["type"] == "application/mcp-server-card+json"
    assert entry["data"] == {"server": SERVER, "tools": TOOLS_LIST["tools"]}
    (back,) = again(tmp_path, {"specVersion": "1.0", "entries": [entry]})
    assert back.tools == agent.tools


SECRET = {"name": "KEY", "value": "s3cret", "default": "s3cret", "isSecret": True}
PACKED = SERVER | {
    "packages": [{"identifier": "w", "environmentVariables": [SECRET]}],
    "_meta": {"x": "s3cret"},
}


@pytest.mark.parametrize("wrap", [lambda s: s, lambda s: {"server": s, "_meta": {}}])
def test_a_server_that_was_changed_goes_out_as_it_is_now_and_without_values(tmp_path, wrap):
    listed = wrap(PACKED)
    path = tmp_path / "server.json"
    path.write_text(json.dumps(listed))
    (tmp_path / "tools.json").write_text(json.dumps(TOOLS_LIST))
    (agent,) = read_agents([path]).agents
    changed = agent.model_copy(
        update={"name": "Rain", "description": "Weather of tomorrow.", "tools": agent.tools[:1]}
    )
    (entry,) = catalog([changed], "ard", URL)["entries"]
    assert entry["type"] == "application/mcp-server-card+json"
    server, tools = entry["data"]["server"], entry["data"]["tools"]
    assert (server["title"], server["description"]) == ("Rain", "Weather of tomorrow.")
    assert (server["name"], server["remotes"]) == (SERVER["name"], SERVER["remotes"])
    assert server["packages"] == [
        {"identifier": "w", "environmentVariables": [{"name": "KEY", "isSecret": True}]}
    ]
    assert tools[0]["name"] == "forecast"
    assert "s3cret" not in json.dumps(entry)
    assert SERVER["description"] not in json.dumps(entry)
    (back,) = again(tmp_path, {"specVersion": "1.0", "entries": [entry]})
    assert [back.name, back.description, back.tools] == [
        changed.name, changed.description, changed.tools
    ]  # fmt: skip


def test_a_tool_that_did_not_change_keeps_its_schema(tmp_path):
    path = tmp_path / "server.json"
    path.write_text(json.dumps(SERVER))
    (tmp_path / "tools.json").write_text(json.dumps(TOOLS_LIST))
    (agent,) = read_agents([path]).agents
    told = Tool({"name": "wipe", "description": "Deletes one."})
    changed = agent.model_copy(update={"tools": (agent.tools[0], told, "more")})
    (entry,) = catalog([changed], "ard", URL)["entries"]
    assert entry["data"]["tools"] == [
        TOOLS_LIST["tools"][0],
        {"name": "wipe", "description": "Deletes one."},
        {"name": "more", "description": ""},
    ]


def test_a_tool_of_a_server_goes_out_with_it_and_one_without_is_no_server(tmp_path):
    path = tmp_path / "x.json"
    path.write_text(json.dumps([{"server": SERVER, "tools": TOOLS_LIST["tools"]}]))
    entries = catalog(read_agents([path], split="skills").agents, "ard", URL)["entries"]
    assert [entry["data"] for entry in entries] == [
        {"server": SERVER, "tools": [tool]} for tool in TOOLS_LIST["tools"]
    ]
    path.write_text(json.dumps(TOOLS_LIST))
    for entry in catalog(read_agents([path]).agents, "ard", URL)["entries"]:
        assert entry["type"] == "application/a2a-agent-card+json"


def test_every_agent_has_an_address_of_its_own():
    agents = [Agent(name=name) for name in ("Ä b", "a-b", "東京", "a/b", "!x")]
    cards = catalog(agents, "a2a", URL + "/")
    urls = [card["supportedInterfaces"][0]["url"] for card in cards]
    assert len(set(urls)) == 5
    assert all(url.startswith(URL + "/") and url.isascii() for url in urls)


def test_only_what_a_caller_may_use_is_written(capsys, tmp_path):
    agents, out = tmp_path / "agents.json", tmp_path / "out.json"
    Registry(
        [Agent(name="Open"), Agent(name="Closed", required_permissions=frozenset({"x"}))]
    ).save(agents)
    arguments = ["export", "--agents", str(agents), "--out", str(out), "--url", URL]
    assert cli.main([*arguments, "--permissions", ""]) == 0
    assert [e["displayName"] for e in json.loads(out.read_text())["entries"]] == ["Open"]
    assert cli.main([*arguments, "--format", "a2a"]) == 0
    assert [card["name"] for card in json.loads(out.read_text())] == ["Open", "Closed"]
    assert "wrote 2 agents" in (said := capsys.readouterr().err)
    assert "1 of which need permissions: what reads it shows them" in said
    assert cli.main([*arguments[:-1], "nowhere"]) == 2
    assert "expected an address" in capsys.readouterr().err


def test_a_guarded_agent_that_comes_back_is_told(tmp_path):
    cards = catalog([Agent(name="Closed", required_permissions=frozenset({"x"}))], "a2a", URL)
    (tmp_path / "cards.json").write_text(json.dumps(cards))
    assert "'Closed' (permissions)" in " ".join(read_agents([tmp_path / "cards.json"]).notes)


def test_a_catalogue_is_what_its_schema_says():
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads(
        (public("cards") / "raw/ard/spec_schemas_ai-catalog.schema.json").read_text()
    )
    many = [f"Sample {n}" for n in range(9)]
    agents = [
        Agent(name="A"),
        Agent(name="B", user_request_samples=("one",), domain="d"),
        Agent(name="C", description="c", user_request_samples=tuple(many), tools=("t",)),
    ]
    jsonschema.validate(catalog(agents, "ard", URL), schema)
