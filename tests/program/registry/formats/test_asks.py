"""What a foreign file asks a caller to hold is told, wherever it stands in the file."""

import json

import pytest
from cards import A2A_03, CATALOG, SERVER, TOOLS_LIST

from task_delegator.registry.formats import read_agents
from task_delegator.registry.formats.asks import asked

OPEN_CARD = {key: value for key, value in A2A_03.items() if not key.startswith("security")}
LOGIN = {"type": "oauth2", "flows": {"clientCredentials": {"scopes": {"read": ""}}}}
FUNCTION = {"name": "wipe", "parameters": {}}
TOOL = TOOLS_LIST["tools"][0]
ENTRY = CATALOG["entries"][0] | {"type": "x/y"}
HEADER = {"name": "Authorization", "isRequired": True, "isSecret": True}
REMOTE = SERVER["remotes"][0]


@pytest.mark.parametrize(
    ("file", "told"),
    [
        ([{"type": "function", "function": FUNCTION | {"required_permissions": ["admin"]}}],
         "'wipe' (required_permissions)"),
        (OPEN_CARD | {"securitySchemes": {"login": LOGIN}}, "'Parcel Desk' (login)"),
        (OPEN_CARD | {"skills": [{"id": "a", "scopes": ["read"]}]}, "'Parcel Desk' (scopes)"),
        (OPEN_CARD | {"authentication": {"schemes": ["Bearer"]}}, "'Parcel Desk' (Bearer)"),
        (SERVER | {"remotes": [REMOTE | {"headers": [HEADER]}]}, "'Weather' (Authorization)"),
        (SERVER | {"remotes": [REMOTE | {"headers": [HEADER | {"name": "X-Key"}]}]},
         "'Weather' (X-Key)"),
        ([TOOL | {"securitySchemes": [{"type": "oauth2", "scopes": ["a"]}]}],
         "'forecast' (oauth2)"),
        ([TOOL | {"_meta": {"securitySchemes": [{"type": "oauth2"}]}}], "'forecast' (oauth2)"),
        ({"specVersion": "1.0", "entries": [ENTRY | {"authorization": {"type": "oauth2"}}]},
         "'Mail Desk' (authorization)"),
        ({"specVersion": "1.0", "entries": [ENTRY | {"data": {"required_permissions": ["x"]}}]},
         "'Mail Desk' (required_permissions)"),
    ],
)  # fmt: skip
def test_what_a_file_asks_for_is_told_wherever_it_stands(tmp_path, file, told):
    path = tmp_path / "x.json"
    path.write_text(json.dumps(file))
    read = read_agents([path])
    assert [agent.required_permissions for agent in read.agents] == [frozenset()]
    (note,) = read.notes
    assert told in note
    assert "not taken over" in note
    for note in read_agents([path], split="skills").notes:
        assert "not taken over" in note


def test_a_deleting_tool_hides_nothing_of_what_its_server_asks_for(tmp_path):
    server = {"server": SERVER, "tools": TOOLS_LIST["tools"], "scopes": ["write"]}
    path = tmp_path / "x.json"
    path.write_text(json.dumps([server]))
    assert "'Weather' (scopes, destructive tools: wipe)" in " ".join(read_agents([path]).notes)


@pytest.mark.parametrize(
    "value",
    [
        OPEN_CARD,
        {"security": [], "securitySchemes": {}, "scopes": None, "authorization": False},
        {"security": [{}], "authentication": {"schemes": []}},
        {"securitySchemes": [{"type": "noauth"}]},
        {"supportsAuthenticatedExtendedCard": True, "author": "x", "telescope": 1},
        {"parameters": {"properties": {"permissions": {"type": "string"}}}},
        {"headers": [{"name": "X-Region", "isRequired": True}]},
        "permissions",
    ],
)
def test_what_asks_for_nothing_is_not_told(value):
    assert asked(value) == ""


def test_what_is_told_is_one_line_and_short():
    said = asked([{f"scopes\n\x1b{number}": 1} for number in range(50)] + [{"scope_" * 99: 1}])
    assert said.isprintable()
    assert said.count(",") == 9
