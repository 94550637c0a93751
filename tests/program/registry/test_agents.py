import json
from functools import partial
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small import HashedWords

from task_delegator.delegator import Delegator
from task_delegator.errors import InputError
from task_delegator.registry import Agent, Registry, Tool
from task_delegator.registry.rules import misspelled, name_key, unprintable
from task_delegator.registry.texts import description_text
from task_delegator.text.overlap import overlap, overlapping

texts = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=30)
agents = st.builds(
    Agent,
    name=texts.filter(lambda name: name_key(name) and unprintable(name) is None),
    description=texts,
    instructions=texts,
    tools=st.lists(texts, max_size=2).map(tuple),
    user_request_samples=st.lists(texts.filter(str.strip), max_size=3).map(tuple),
    required_permissions=st.frozensets(texts, max_size=2),
    kind=st.sampled_from(["ai", "human"]),
    domain=texts,
)
registries = st.lists(agents, max_size=5, unique_by=lambda agent: name_key(agent.name)).map(
    Registry
)


@given(registries)
def test_a_registry_survives_writing_and_reading(tmp_path_factory, registry):
    path = tmp_path_factory.mktemp("registry") / "agents.json"
    registry.save(path)
    assert list(Registry.load(path)) == list(registry)


@given(registries, st.randoms(use_true_random=False))
def test_the_digest_ignores_order_and_sees_every_change(registry, random):
    shuffled = list(registry)
    random.shuffle(shuffled)
    assert Registry(shuffled).sha256() == registry.sha256()
    changed = [a.model_copy(update={"description": a.description + "!"}) for a in registry]
    assert (Registry(changed).sha256() != registry.sha256()) == (len(registry) > 0)


def test_unknown_fields_are_kept(tmp_path):
    path = tmp_path / "agents.json"
    path.write_text(json.dumps([{"name": "A", "owner": "Jo", "id": 7}]))
    registry = Registry.load(path)
    registry.save(path)
    assert json.loads(path.read_text())[0]["owner"] == "Jo"
    assert json.loads(path.read_text())[0]["id"] == 7


# As tools/list of an MCP server, OpenAI's two APIs and Anthropic's describe them.
MCP = {
    "name": "read-cypher",
    "description": "Execute read-only Cypher queries. Rejects writes and PROFILE queries.",
    "inputSchema": {"type": "object", "properties": {"query": {"type": "string"}}},
    "annotations": {"title": "Read", "readOnlyHint": True},
}
CHAT = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get the weather\nof a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}
RESPONSES = {"type": "function", "name": "refund", "description": None, "strict": True}
HOSTED = {"type": "web_search"}
TOOLS = [
    (MCP, "read-cypher: Execute read-only Cypher queries"),
    (CHAT, "get_weather: Get the weather"),
    (RESPONSES, "refund"),
    (HOSTED, "web_search"),
    ("orders.search", "orders.search"),
]


def test_a_sample_that_stands_twice_says_no_more_than_once():
    assert Agent(name="A", user_request_samples=("b", "a", "b")).user_request_samples == ("b", "a")


@pytest.mark.parametrize(("tool", "text"), TOOLS, ids=[text for _, text in TOOLS])
def test_a_tool_is_read_as_others_describe_it_and_written_back(tmp_path, tool, text):
    path = tmp_path / "agents.json"
    path.write_text(json.dumps([{"name": "A", "tools": [tool]}]))
    registry = Registry.load(path)
    assert [str(held) for held in registry["A"].tools] == [text]
    registry.save(path)
    assert json.loads(path.read_text())[0]["tools"] == [tool]
    assert Registry.load(path).sha256() == registry.sha256()


def test_an_agent_is_described_by_its_tools_and_their_first_sentence():
    agent = Agent(name="Graph", tools=(Tool(MCP), "orders.search"), use_when="nodes are meant")
    assert description_text(agent) == (
        "Graph. read-cypher: Execute read-only Cypher queries, orders.search. nodes are meant"
    )


def test_agents_with_tools_of_either_kind_can_be_compared_and_kept_in_sets():
    agents = [Agent(name="A", tools=(Tool(tool),)) for tool in (MCP, dict(MCP), CHAT)]
    assert len(set(agents)) == 2
    assert agents[0].digest() == agents[1].digest() != agents[2].digest()


def test_the_digest_of_an_agent_with_plain_tools_stays():
    # Compiled programs hold such digests: with others they would not be calibrated any more.
    agent = Agent(name="A", description="b", tools=("orders.search", "mail"))
    assert agent.digest() == "4c45c73ed968d212"


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_lines_of_a_registry_may_end_as_windows_ends_them(tmp_path, newline):
    path = tmp_path / "agents.json"
    path.write_bytes(newline.join(["[", '{"name": "A"}', "]", ""]).encode())
    assert "A" in Registry.load(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('[{"name": "A", "tools": ["x", {"id": 1}]}]', r"agent 0: tools\.1.*has no name"),
        ('[{"name": "A", "tools": [{"name": " "}]}]', r"agent 0: tools\.0.*has no name"),
        ('[{"name": "A", "tools": [3]}]', r"agent 0: tools\.0.*valid dictionary"),
        ('[{"name": "A", "user_request_samples": "x"}]', "user_request_samples: .*valid list"),
        ('[{"name": " "}]', "agent 0: name: (?!Value error)"),
        ('{"name": "A"}', "expected a JSON list"),
        ('[{"name": "A"}', "broken JSON at line 1"),
        ('[{"name": "A"}, {"name": "A"}]', "two agents are named 'A'"),
        ('[{"name": " "}]', "agent 0: name"),
        ('[{"description": "x"}]', "agent 0: name is missing: add it"),
        ('[{"name": "A", "kind": "robot"}]', "agent 0: kind"),
        ('[{"name": "A", "name": "B"}]', "has the key 'name' twice"),
        ('[{"name": "Refund Desk"}, {"name": "refund  \\uff24ESK"}]', "they look the same"),
        ('[{"name": "A\\nassign: root"}]', r"agent 0: name: .*control character '\\n'"),
        ('[{"name": "A\\u001b[31m"}]', r"control character '\\x1b'"),
        ('[{"name": "A\\u202e"}]', r"control character '\\u202e'"),
        ('[{"name": "A\\ud800"}]', "agent 0: name: .*unicode"),
        ('[{"name": "A", "required_permission": ["x"]}]', "did you mean 'required_permissions'"),
        (f'[{{"name": "{"A" * 201}"}}]', "at most 200 characters"),
        (f'[{{"name": "A", "description": "{"a" * 100_001}"}}]', "at most 100000 characters"),
        (f'[{{"name": "A", "user_request_samples": ["{"a" * 20_001}"]}}]', "at most 20000"),
        (f'[{{"name": "A", "tools": {json.dumps(["a"] * 1001)}}}]', "at most 1000 items"),
        (
            json.dumps([{"name": "A", "user_request_samples": [f"{i:1000}" for i in range(301)]}]),
            "agent 0: .*'A' has 301,000 characters",
        ),
        (f'[{{"name": "A", "id": {"1" * 5_000}}}]', "too many digits"),
        (f'[{{"name": "A", "x": {"[" * 900 + "]" * 900}}}]', "deeper than 100 levels"),
        (f'[{{"name": "A", "x": {"[" * 99_999}', "deeper than 100 levels"),
    ],
)
def test_a_broken_registry_is_refused_with_its_place(tmp_path, content, message):
    path = tmp_path / "agents.json"
    path.write_text(content)
    with pytest.raises(InputError, match=message) as caught:
        Registry.load(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("field", "right"),
    [
        ("requiredPermissions", "required_permissions"),
        ("required-permissions", "required_permissions"),
        ("Required_Permissions", "required_permissions"),
        ("required_permision", "required_permissions"),
        ("requires_permissions", "required_permissions"),
        ("permissions", "required_permissions"),
        ("permissions_required", "required_permissions"),
        ("permissionsNeeded", "required_permissions"),
        ("allowed_permissions", "required_permissions"),
        ("perms", "required_permissions"),
        ("agentPerms", "required_permissions"),
        ("descripton", "description"),
        ("userRequestSamples", "user_request_samples"),
        ("user_request_sample", "user_request_samples"),
        ("do_not_use_wen", "do_not_use_when"),
        ("tool", "tools"),
        ("knid", "kind"),
        ("doamin", "domain"),
        ("version", None),
        ("permanent", None),
        ("temperature", None),
        ("owner", None),
        ("id", None),
        ("title", None),
        ("tags", None),
        ("category", None),
        ("source", None),
        ("licence", None),
        ("model", None),
        ("description_de", None),
        ("user_request_samples_5", None),
    ],
)
@pytest.mark.fault("misspelled field", "a registry", holds="Refused, with the right spelling.")
def test_a_field_that_nearly_spells_a_known_one_is_told_from_a_new_one(field, right):
    assert misspelled(field, Agent.model_fields) == right
    if right is None:
        assert Agent.model_validate({"name": "A", field: "x"}).to_dict()[field] == "x"
    else:
        with pytest.raises(ValueError, match=f"field '{field}' of 'A' .* {right!r}"):
            Agent.model_validate({"name": "A", field: []})


@pytest.mark.fault(
    "look-alike name", "a registry: case, blanks, width", holds="Refused in one line."
)
def test_names_that_look_the_same_cannot_be_added(office):
    with pytest.raises(InputError, match="'Travel' and 'TRAVEL ': they look the same"):
        office.add(Agent(name="TRAVEL "))
    assert "travel" not in office
    with pytest.raises(KeyError):
        office["travel"]


@pytest.mark.parametrize(
    "name",
    [
        "Tra\N{VARIATION SELECTOR-16}vel",
        "Tra\N{COMBINING GRAPHEME JOINER}vel",
        "Travel\N{HANGUL FILLER}",
        "Travel\N{VARIATION SELECTOR-17}",
        "Travel\N{BRAILLE PATTERN BLANK}",
        "Tr\N{CYRILLIC SMALL LETTER A}vel",
        "\N{GREEK CAPITAL LETTER TAU}ravel",
    ],
)
@pytest.mark.fault(
    "look-alike name",
    "a registry: invisible characters, other scripts",
    holds="Refused in one line.",
)
def test_invisible_characters_and_letters_of_other_scripts_make_no_other_name(office, name):
    with pytest.raises(InputError, match="they look the same"):
        office.add(Agent(name=name))


@pytest.mark.parametrize("name", ["\N{HANGUL FILLER}", "\N{BRAILLE PATTERN BLANK}", "\ufe0f"])
def test_a_name_that_shows_nothing_is_refused(name):
    with pytest.raises(ValueError, match="shows nothing"):
        Agent(name=name)


def test_one_text_is_no_set_of_permissions(office):
    program = Delegator(office, HashedWords())
    for ask in (office.permitted, partial(program, "pay me"), partial(program.plan, "pay me")):
        with pytest.raises(TypeError, match=r"collection of texts, not 'hr\.pay'"):
            ask(permissions="hr.pay")


def test_only_agents_whose_needs_are_met_are_permitted(office):
    assert "Payroll" not in office.permitted(set())
    assert "Payroll" in office.permitted({"hr.pay"})
    assert office.permitted(None) == {agent.name for agent in office}


def test_a_registry_is_built_at_once_whatever_its_size():
    class Watched(Registry):
        assigned = 0

        def __setattr__(self, name, value):
            Watched.assigned += isinstance(value, dict)
            super().__setattr__(name, value)

    assert len(Watched(Agent(name=str(number)) for number in range(50))) == 50
    assert Watched.assigned == 1  # a copy per agent would be quadratic


def test_a_snapshot_of_a_registry_survives_its_changes(office):
    agents = iter(office)
    office.remove("Travel")
    assert "Travel" in [agent.name for agent in agents]


def test_changes_are_counted_and_checked(office):
    before = office.version
    office.remove("Travel")
    office.replace(Agent(name="Events", description="changed"))
    office.add(Agent(name="Travel"))
    assert office.version == before + 3
    assert office["Events"].description == "changed"
    with pytest.raises(InputError, match=r"no agent is named 'travle' \(did you mean 'Travel'\?"):
        office.remove("travle")
    with pytest.raises(InputError, match="two agents are named"):
        office.add(Agent(name="Travel"))


def test_lint_finds_look_alikes_gaps_and_leaks():
    text = "books flights and hotels for all staff who travel"
    registry = Registry(
        [
            Agent(name="A", description=text, user_request_samples=("book a flight to Porto now",)),
            Agent(name="B", description=text, user_request_samples=("book a flight to Porto now",)),
            Agent(name="C"),
        ]
    )
    found = registry.lint([("A", "Book a flight to Porto, now!")])
    rules = {finding.rule: finding.agents for finding in found}
    assert rules["near-duplicate"] == ("A", "B")
    assert rules["shared-sample"] == ("A", "B")
    assert rules["no-description"] == ("C",)
    assert rules["no-samples"] == ("C",)
    assert "leak" in rules


def test_lint_tells_which_texts_name_an_agent_that_their_readers_may_not_use():
    registry = Registry(
        [
            Agent(name="Vault Desk", required_permissions=frozenset({"vault"})),
            Agent(name="Open Desk", do_not_use_when="That is for the Vault Desk."),
            Agent(name="Keys", tools=(Tool({"name": "open", "description": "Asks Vault Desk"}),)),
            Agent(
                name="Guards",
                description="Stand before the Vault Desk.",
                required_permissions=frozenset({"vault", "night"}),
            ),
        ]
    )
    found = [finding.agents for finding in registry.lint() if finding.rule == "names-hidden"]
    assert found == [("Keys", "Vault Desk"), ("Open Desk", "Vault Desk")]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *((field, ["admin"]) for field in ("requires", "required", "roles", "allowed_roles")),
        *((field, ["admin"]) for field in ("required_roles", "acl", "ACL", "allowedUsers")),
        *((field, ["admin"]) for field in ("minRole", "access-groups", "scopes", "deny")),
        ("visibility", "staff"),
        ("restricted", True),
    ],
)
def test_lint_warns_of_a_field_that_seems_to_limit_who_may_use_an_agent(field, value):
    registry = Registry([Agent.model_validate({"name": "Vault", "description": "v", field: value})])
    (finding,) = registry.lint()
    assert (finding.rule, finding.agents) == ("no-permission", ("Vault",))
    assert repr(field) in finding.detail
    assert "required_permissions" in finding.detail


def test_lint_looks_for_such_fields_within_others_and_passes_over_those_that_say_nothing():
    held = {
        "meta": {"roles": ["admin"], "required": ["x"]},
        "input": {"type": "object", "required": ["x"]},
        "acl": [],
        "private": False,
        "accessory": "x",
        "grouping": "x",
        "title": "role",
    }
    agent = Agent.model_validate({"name": "Vault", "description": "v", **held})
    assert [f.detail.split("'")[1] for f in Registry([agent]).lint()] == ["meta.roles"]


@given(
    st.lists(st.frozensets(st.sampled_from("abcdefgh"), max_size=8), max_size=12),
    st.sampled_from([0.5, 0.8, 1.0]),
)
def test_look_alikes_are_all_found_without_comparing_every_pair(texts, least):
    found = {(i, j) for i, j, _ in overlapping(texts, least)}
    every = {(i, j) for i, j in combinations(range(len(texts)), 2)}
    assert found == {(i, j) for i, j in every if overlap(texts[i], texts[j]) >= least}


def test_an_agent_whose_characters_stand_for_more_says_no_more_than_can_be_searched():
    with pytest.raises(ValueError, match="360,000 characters"):
        Agent(name="A", description="\ufdfa" * 20_000)
    assert Agent(name="A", description="\ufdfa" * 10_000).description
