"""Whatever may stand in the place of a file that is read, and whether a command refuses it."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

SECONDS = 5.0

CONTENTS = {
    "open brackets": b"[" * 100_000,
    "open objects": b'{"a":' * 100_000,
    "nested brackets": b"[" * 100_000 + b"]" * 100_000,
    "a deep field": b'[{"name": "a", "x": ' + b"[" * 900 + b"]" * 900 + b"}]",
    "a long integer": b'[{"name": ' + b"9" * 5000 + b"}]",
    "a long negative integer": b"-" + b"9" * 5000,
    "not a number": b'[{"name": NaN}]',
    "infinity": b'{"task": Infinity}',
    "a huge float": b"[1e400]",
    "a key twice": b'[{"name": "a", "name": "b"}]',
    "half a character": b'[{"name": "a\\ud800", "task": "\\udfff"}]',
    "half a character as a key": b'[{"\\udfff": "a"}]',
    "NUL": b"\0" * 10,
    "NUL in a text": b'[{"name": "a\\u0000"}]',
    "a byte order mark": b"\xef\xbb\xbf{",
    "UTF-16": '[{"name": "a"}]'.encode("utf-16"),
    "Latin-1": b'[{"name": "\xe4"}]',
    "escapes": b'{"\\u001b[31m\\n": 1}',
    "a number": b"5",
    "null": b"null",
    "objects that say nothing": b"[{}]",
    "lists": b"[[]]",
}


def pipe(path: Path) -> None:
    os.mkfifo(path)


def folder(path: Path) -> None:
    path.mkdir()


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def link_to_itself(path: Path) -> None:
    path.symlink_to(path.name)


def link_to_nothing(path: Path) -> None:
    path.symlink_to("nowhere")


def link_to_another_file(path: Path) -> None:
    path.symlink_to("/etc/passwd")


SPECIAL = (pipe, folder, device, link_to_itself, link_to_nothing, link_to_another_file)


def refuses(
    main: Callable[[list[str]], int],
    path: Path,
    command: list[str],
    capsys: pytest.CaptureFixture[str],
) -> str:
    """Return why a command does not go on, or an empty text where it is refused as it should."""
    started = time.process_time()
    code = main([part.replace("{}", str(path)) for part in command])
    took = time.process_time() - started
    out, err = capsys.readouterr()
    said = [line for line in err.splitlines() if "is applied to the agents" not in line]
    shown = err.endswith("\n") and all(line.isprintable() for line in err.splitlines())
    if (code, out, len(said)) != (2, "", 1) or not shown:
        return f"{code} {out[:99]} {err[:200]}"
    if "root:" in err:
        return "another file is shown"
    return "" if took < SECONDS else f"{took:.1f} s"
