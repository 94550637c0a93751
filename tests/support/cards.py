"""Small files of every format that is imported, as their specifications write them."""

import json

A2A_03 = {
    "protocolVersion": "0.3.0",
    "name": "Parcel Desk",
    "description": "Finds and moves parcels.",
    "url": "https://parcels.example.com/a2a",
    "preferredTransport": "JSONRPC",
    "provider": {"organization": "Example Post", "url": "https://example.com"},
    "version": "1.2.0",
    "capabilities": {"streaming": False},
    "securitySchemes": {"login": {"type": "oauth2", "flows": {}}},
    "security": [{"login": ["parcels.read"]}],
    "defaultInputModes": ["text/plain"],
    "defaultOutputModes": ["text/plain"],
    "skills": [
        {
            "id": "track",
            "name": "Track",
            "description": "Says where a parcel is.",
            "tags": ["parcel"],
            "examples": ["Where is my parcel?", "Has it left the depot?"],
        },
        {"id": "move", "name": "Redirect", "description": "Sends it elsewhere.", "tags": []},
    ],
}
A2A_10 = {
    "name": "Travel Desk",
    "description": "Books trains.",
    "supportedInterfaces": [
        {"url": "https://t.example.com", "protocolBinding": "JSONRPC", "protocolVersion": "1.0"}
    ],
    "version": "2.0.0",
    "capabilities": {},
    "securityRequirements": [{"schemes": {"key": {"list": []}}}],
    "defaultInputModes": ["text/plain"],
    "defaultOutputModes": ["text/plain"],
    "skills": [
        {
            "id": "book",
            "name": "Book",
            "description": "Books a seat.",
            "tags": ["rail"],
            "examples": ["A seat to Porto"],
        }
    ],
}
CATALOG = {
    "specVersion": "1.0",
    "host": {"displayName": "Acme"},
    "entries": [
        {
            "identifier": "urn:air:acme.com:agent:mail",
            "displayName": "Mail Desk",
            "type": "application/a2a-agent-card+json",
            "url": "https://acme.com/mail.json",
            "description": "Sorts mail.",
            "representativeQueries": ["sort my inbox", "what is unread"],
            "capabilities": ["Sorter"],
        },
        {
            "identifier": "urn:air:acme.com:agent:travel",
            "displayName": "Travel",
            "mediaType": "application/a2a-agent-card+json",
            "data": A2A_10,
        },
        {
            "identifier": "urn:air:acme.com:catalog:more",
            "displayName": "More",
            "type": "application/ai-catalog+json",
            "data": {
                "specVersion": "1.0",
                "entries": [{"identifier": "urn:air:acme.com:agent:deep", "type": "x/y"}],
            },
        },
        {
            "identifier": "urn:air:acme.com:catalog:far",
            "displayName": "Far",
            "type": "application/ai-catalog+json",
            "url": "https://acme.com/far.json",
        },
    ],
}
SERVER = {
    "$schema": "https://static.modelcontextprotocol.io/schemas/2025-12-11/server.schema.json",
    "name": "io.github.acme/weather",
    "title": "Weather",
    "description": "Weather of today.",
    "version": "1.0.0",
    "remotes": [{"type": "streamable-http", "url": "https://w.example.com/mcp"}],
}
TOOLS_LIST = {
    "tools": [
        {
            "name": "forecast",
            "description": "Says how the weather will be.",
            "inputSchema": {"type": "object", "properties": {"city": {"type": "string"}}},
            "annotations": {"readOnlyHint": True},
        },
        {
            "name": "wipe",
            "description": "Deletes all stations.",
            "inputSchema": {"type": "object"},
            "annotations": {"destructiveHint": True},
        },
    ]
}
DOCKER = """\
name: sqlite
type: server
image: mcp/sqlite
meta:
  category: databases
about:
  title: SQLite
  description: Asks a database.
"""
OPENAI = [
    {
        "type": "namespace",
        "name": "crm",
        "description": "Customers and orders.",
        "tools": [
            {
                "type": "function",
                "name": "find_customer",
                "description": "Finds one.",
                "parameters": {"type": "object", "properties": {}},
                "defer_loading": True,
            }
        ],
    },
    {"type": "function", "function": {"name": "add", "description": "Adds.", "parameters": {}}},
    {"type": "tool_search"},
]
SKILL = """\
---
name: pdf-forms
description: 'Fills in PDF forms. Use when a form must be filled. Do not use for scanned paper.'
metadata:
  category: documents
---

# PDF forms

Read the fields first.
"""
AGENT_MD = """\
---
description: "Plans tests."
tools: ['search', '*', 'edit/editFiles']
model: GPT-4.1
required_permissions: [admin]
---
Body.
"""

FILES = {
    "a2a/parcel.json": json.dumps(A2A_03),
    "a2a/travel.json": json.dumps(A2A_10),
    "ard/ai-catalog.json": json.dumps(CATALOG),
    "mcp/weather/server.json": json.dumps(SERVER),
    "mcp/weather/tools.json": json.dumps(TOOLS_LIST),
    "docker/sqlite/server.yaml": DOCKER,
    "docker/sqlite/tools.json": json.dumps([{"name": "query", "description": "Runs SQL."}]),
    "openai/tools.json": json.dumps(OPENAI),
    "skills/pdf-forms/SKILL.md": SKILL,
    "skills/pdf-forms/package.json": '{"name": "no agent"}',
    "agents/tester.agent.md": AGENT_MD,
    "agents/README.md": "# No front matter, no agent",
    "own/agents.yaml": "- name: Ada\n  kind: human\n  user_request_samples: [no, 2026-01-01]\n",
    "own/agents.jsonl": '{"name": "Desk One"}\n\n{"name": "Desk Two", "description": "Second."}\n',
    "own/one.json": '{"name": "Alone", "description": "An agent in a file of its own."}',
}
