"""Files and folders of agents: which are read, and as what."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ...errors import InputError
from ...system import parse_json, read_text
from . import docker_mcp, mcp
from .door import read_row, read_value
from .draft import MOST, Findings, check_count
from .front_matter import has_front_matter, read_markdown
from .yaml_text import parse_yaml

_FILES = MOST  # of a folder
_BYTES = 50_000_000  # of a file: four times what 10,000 agents with samples take
NOT_ENTERED = {"node_modules", "__pycache__"}
_SERVERS = ("server.json", "server.yaml", "server.yml")
_SKILL = "skill.md"


def read_source(path: Path, found: Findings) -> None:
    """Read a file, or all files of a folder.

    Of a folder, ``.json``, ``.jsonl``, ``.yaml`` and markdown with front matter are read. What
    lies beside a ``SKILL.md`` is the skill's material. Links are not followed.

    Raises:
        InputError: a folder cannot be read or has too many files.
    """
    if path.is_dir():
        _read_folder(path, found)
    else:
        _guarded(_read_file, path, found)


def _read_folder(folder: Path, found: Findings) -> None:
    before = len(found.drafts), len(found.refused), len(found.notes)
    for path in _files_of(folder, found):
        _guarded(_read_file, path, found)
    if before == (len(found.drafts), len(found.refused), len(found.notes)):
        kinds = ", ".join((*_READERS, ".md with front matter"))
        found.refused.append(f"{folder}: holds no file of agents: {kinds}")


def _guarded(read: Callable[[Path, Findings], None], path: Path, found: Findings) -> None:
    try:
        read(path, found)
    except InputError as error:
        found.refused.append(str(error))


def _files_of(folder: Path, found: Findings) -> Iterator[Path]:
    """Iterate over the files of a folder that may hold agents, in the order of their paths."""
    seen = 0
    try:
        for above, folders, names in os.walk(folder, onerror=_raise):
            parent = Path(above)
            inside = {name.casefold(): name for name in names}
            if _SKILL in inside:
                folders[:], names = [], [inside[_SKILL]]
            folders[:] = sorted(n for n in folders if n[0] != "." and n not in NOT_ENTERED)
            tools_belong = not inside.keys().isdisjoint(_SERVERS)
            for name in sorted(names):
                seen += 1
                path = parent / name
                if seen > _FILES:
                    raise InputError(f"{folder}: more than {_FILES:,} files: name fewer")
                if name.startswith(".") or (name == "tools.json" and tools_belong):
                    continue
                if path.is_symlink():
                    found.notes.append(f"{path}: a link is not followed: name its target")
                elif path.suffix.casefold() in _READERS or _is_markdown_agent(path):
                    yield path
    except OSError as error:
        raise InputError(f"{folder}: cannot be read: {error.strerror}") from error


def _raise(error: OSError) -> None:
    raise error


def _is_markdown_agent(path: Path) -> bool:
    """Tell whether a markdown file describes an agent; a README beside it does not."""
    name = path.name.casefold()
    if not name.endswith((".md", ".markdown")):
        return False
    if name == _SKILL or name.endswith(".agent.md"):
        return True
    try:
        return has_front_matter(_text(path))
    except InputError:  # reading it as an agent says what is wrong
        return True


def _text(path: Path) -> str:
    return read_text(path, _BYTES)


def _json(path: Path) -> Any:
    return parse_json(_text(path), str(path))


def _read_file(path: Path, found: Findings) -> None:
    """Read one file by the ending of its name; JSON where that says nothing."""
    name = path.name.casefold()
    if name.endswith((".md", ".markdown")):
        found.drafts.append(read_markdown(_text(path), path))
        return
    if name.endswith(".jsonl"):
        _read_lines(path, found)
        return
    is_yaml = name.endswith((".yaml", ".yml"))
    values = parse_yaml(_text(path), str(path)) if is_yaml else [_json(path)]
    check_count(values, "documents", str(path))
    for number, value in enumerate(values):
        where = str(path) if len(values) == 1 else f"{path}: document {number}"
        if not _read_server(value, path, where, found):
            (read_value if len(values) == 1 else read_row)(value, where, found)


def _read_lines(path: Path, found: Findings) -> None:
    lines = _text(path).removesuffix("\n").split("\n")
    check_count(lines, "lines", str(path))
    for number, line in enumerate(lines, 1):
        if line.strip():
            where = f"{path}: line {number}"
            try:
                read_row(parse_json(line, where), where, found)
            except InputError as error:
                found.refused.append(str(error))


def _read_server(value: Any, path: Path, where: str, found: Findings) -> bool:
    """Read a server with the ``tools.json`` beside it; tell whether there is one to read."""
    beside = path.with_name("tools.json")
    if path.name.casefold() not in _SERVERS or not isinstance(value, dict):
        return False
    read = next((r for claims, r in _SERVER_FORMATS if claims(value)), None)
    if read is None or not beside.is_file() or beside.is_symlink():
        return False
    tools = mcp.tools_in(_json(beside), str(beside))
    if tools is None:
        raise InputError(f"{beside}: expected what tools/list answers: a list of tools")
    found.drafts.append(read(value, tools, where))
    return True


_SERVER_FORMATS = (
    (mcp.is_server, mcp.read_server),
    (docker_mcp.is_entry, docker_mcp.read_entry),
)
_READERS = (".json", ".jsonl", ".yaml", ".yml")
