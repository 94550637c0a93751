"""Who calls: bearer tokens, each with a name and the permissions that it carries."""

import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Collection, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..errors import InputError
from ..registry import first_fault
from ..system import one_at_a_time, read_json, write_text

# Names of this machine, as an address and as a header spells them.
LOOPBACK = ("127.0.0.1", "localhost", "::1", "[::1]")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sends a request.

    Attributes:
        name: of the token.
        permissions: what the caller may use; None for a caller without limits.
        reviewer: whether the caller sees what others asked, as far as the permissions go.
    """

    name: str
    permissions: frozenset[str] | None = None
    reviewer: bool = False

    def sees(self, asked_by: str, permissions: frozenset[str] | None) -> bool:
        """Tell whether a delegation may be shown: its own, or of those that it reviews.

        Args:
            asked_by: the name of who asked.
            permissions: under which the task was delegated; with more than the caller's own, it
                may name agents that the caller may not use.
        """
        if asked_by != self.name and not self.reviewer:
            return False
        if self.permissions is None:
            return True
        return permissions is not None and permissions <= self.permissions

    def narrowed(self, asked: Collection[str] | None) -> frozenset[str] | None:
        """Return the permissions of a request that asks for some: never more than the token's."""
        if asked is None:
            return self.permissions
        return frozenset(asked) if self.permissions is None else self.permissions & frozenset(asked)


class Token(BaseModel):
    """A row of a file of tokens; the token itself is not in it.

    Attributes:
        name: who uses it.
        sha256: of the token, in hexadecimal digits.
        permissions: that it carries; None (``null``) for no limits. It has to be given.
        reviewer: whether it shows what others asked.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1, max_length=100)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    permissions: frozenset[str] | None
    reviewer: bool = False

    @property
    def caller(self) -> Caller:
        """Who uses it."""
        return Caller(self.name, self.permissions, self.reviewer)


class Access:
    """Tell a caller by a bearer token.

    Args:
        tokens: that are known; without any, everybody is one caller.
        permissions: what that one may use; None for a caller without limits.
    """

    def __init__(
        self, tokens: Iterable[Token] = (), permissions: frozenset[str] | None = None
    ) -> None:
        self._tokens, self._open = tuple(tokens), Caller("local", permissions)

    @property
    def open(self) -> bool:
        """Whether no token is asked for."""
        return not self._tokens

    def shows(self, asked_by: str, permissions: frozenset[str] | None) -> bool:
        """Tell whether any caller sees a delegation; arguments as for ``Caller.sees``."""
        callers = [self._open] if self.open else [token.caller for token in self._tokens]
        return any(caller.sees(asked_by, permissions) for caller in callers)

    def caller(self, *authorization: str | None) -> Caller | None:
        """Return who sends an ``Authorization`` header, None where that is nobody known.

        Nor where several are sent: what stands in front of the service may read another one.
        """
        if self.open:
            return self._open
        if len(authorization) != 1:
            return None
        scheme, _, token = (authorization[0] or "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        digest = token_sha256(token.strip())
        found = None
        for known in self._tokens:  # all of them: how long it takes tells nothing
            if hmac.compare_digest(known.sha256, digest):
                found = known.caller
        return found


def token_sha256(token: str) -> str:
    """Return what a file of tokens holds of a token."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()


def read_tokens(path: str | Path) -> tuple[Token, ...]:
    """Read a JSON list of tokens.

    Raises:
        InputError: it cannot be read, holds none, or two have one name.
    """
    rows = read_json(Path(path))
    if not isinstance(rows, list) or not rows:
        raise InputError(f"{path}: expected a JSON list of tokens, one at least")
    tokens = []
    for number, row in enumerate(rows):
        try:
            tokens.append(Token.model_validate(row))
        except ValidationError as error:
            raise InputError(f"{path}: token {number}: {first_fault(error)}") from error
    names, digests = ([getattr(t, field) for t in tokens] for field in ("name", "sha256"))
    if len(set(names)) < len(names):
        raise InputError(f"{path}: two tokens have one name: give each caller its own")
    if len(set(digests)) < len(digests):
        raise InputError(f"{path}: two rows are of one token: make each caller its own")
    return tuple(tokens)


def add_token(
    path: Path, name: str, permissions: Collection[str] | None, *, reviewer: bool = False
) -> str:
    """Make a token, add its digest to a file of tokens, and return it; processes take turns.

    Args:
        path: the file; created if it is missing.
        name: who uses the token.
        permissions: that it carries; None for no limits.
        reviewer: whether it shows what others asked.

    Raises:
        InputError: the file cannot be used, or the name is taken.
    """
    made = secrets.token_urlsafe(32)
    allowed = None if permissions is None else frozenset(permissions)
    digest = token_sha256(made)
    try:
        token = Token(name=name, sha256=digest, permissions=allowed, reviewer=reviewer)
    except ValidationError as error:
        raise InputError(f"the token: {first_fault(error)}") from error
    with _turn(path):
        held = read_tokens(path) if path.exists() else ()
        if any(row.name == name for row in held):
            raise InputError(f"{path}: {name!r} has a token: take its row out first")
        rows = [row.model_dump(mode="json") for row in (*held, token)]
        write_text(path, json.dumps(rows, indent=1) + "\n")
    return made


def _turn(path: Path) -> AbstractContextManager[None]:
    """Let one process at a time read a file and write it, whichever link it is named by."""
    real = Path(os.path.realpath(path))
    try:
        real.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror}") from error
    return one_at_a_time(real.with_name(f".{real.name}.lock"))
