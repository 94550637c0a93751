"""System One backends: LMs that decide among options instead of writing text."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .._compat import TypeSafe
from ..errors import LMError
from ..text import describe_error, strings_in, without_user


class SystemOne(TypeSafe):
    """DSPy's client for the System One API, without cache, its failures as ``LMError``.

    The model's name and the key come from ``TYPESAFE_DEFAULT_MODEL`` and ``TYPESAFE_API_KEY``; a
    server of one's own may need neither.

    Args:
        address: of the server, without ``/v1/systemone``.
    """

    def __init__(self, address: str) -> None:
        super().__init__(
            api_key=os.environ.get("TYPESAFE_API_KEY", "none"), base_url=address, cache=False
        )

    def dump_state(self) -> dict[str, Any]:
        """Return the settings without key and password."""
        return {**super().dump_state(), "base_url": without_user(self.base_url)}

    def __call__(self, state: Any, questions: Any) -> Any:
        """Ask one question about one state.

        Raises:
            LMError: the backend cannot be reached, refuses, or holds no decision model.
        """
        with self._one_line(state, questions):
            return super().__call__(state, questions)

    async def acall(self, state: Any, questions: Any) -> Any:
        """Ask as ``__call__`` does, with the SDK's asynchronous client."""
        with self._one_line(state, questions):
            return await super().acall(state, questions)

    @contextmanager
    def _one_line(self, state: Any, questions: Any) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # the SDK raises its own, httpx's and pydantic's types
            sent = [*strings_in(state), *strings_in(questions)]
            cause = describe_error(error, sent, [self.api_key])
            server = without_user(self.base_url)
            raise LMError(f"the LM did not answer: {server}: {cause}") from error
