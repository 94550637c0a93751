"""The digest of signatures: what a program's prompts have to have in common with this code."""

import sys
from types import ModuleType
from typing import Any

import pytest

from task_delegator.artifact.store import signatures_sha256

_MODULE = """
from typing import Literal
import dspy
from pydantic import BaseModel

class {part}(BaseModel):
    task: str
    after: list[int] = []

class {name}(dspy.Signature):
    {field}: str = dspy.{role}()
    number: {type} = dspy.InputField()
    parts: list[{part}] = dspy.OutputField(desc="{desc}")
"""


def signature_of_a_module(path: str, **changes: str) -> Any:
    """Return a signature as a module at that path would define it."""
    words = {
        "name": "Split", "part": "Part", "field": "task", "role": "InputField", "type": "int",
        "desc": "the parts", **changes,
    }  # fmt: skip
    module = ModuleType(path)
    sys.modules[path] = module  # pydantic and DSPy look types up where they were defined
    try:
        exec(_MODULE.format(**words), vars(module))
    finally:
        del sys.modules[path]
    return vars(module)[words["name"]]


def test_the_digest_of_signatures_ignores_where_they_stand_and_how_they_are_worded():
    here = signatures_sha256([signature_of_a_module("a.signatures")])
    for changes in ({}, {"name": "Cut", "part": "Piece"}, {"desc": "other words"}):
        there = signature_of_a_module("b.stages.prompts", **changes)
        assert signatures_sha256([there]) == here


@pytest.mark.parametrize("change", [{"field": "text"}, {"role": "OutputField"}, {"type": "float"}])
def test_the_digest_of_signatures_sees_a_changed_field(change):
    signatures = [signature_of_a_module("a.signatures", **words) for words in ({}, change)]
    assert signatures_sha256(signatures[:1]) != signatures_sha256(signatures[1:])


def test_the_digest_of_signatures_sees_their_order():
    pair = [signature_of_a_module("a.signatures", field=field) for field in ("task", "text")]
    assert signatures_sha256(pair) != signatures_sha256(pair[::-1])
