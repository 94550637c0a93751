"""CallBudget: stop an optimizer at its limit of LM calls or at the first LM failure."""

import contextlib
import logging
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from typing import Any

from dspy.utils.callback import BaseCallback
from dspy.utils.exceptions import AdapterParseError


class BudgetExceededError(BaseException):
    """Ends an optimizer through whatever it catches."""


class CallBudget(BaseCallback):
    """Count every LM call, the teacher's and those of copies included; stop at the limit."""

    def __init__(self, limit: int) -> None:
        self.limit, self.calls = limit, 0
        self.failure: BaseException | None = None

    def on_lm_start(self, call_id: str, instance: Any, inputs: dict[str, Any]) -> None:
        """Count every requested completion, and refuse those beyond the limit."""
        asked = int((inputs.get("kwargs") or {}).get("n") or 1)
        if self.calls + asked > self.limit:
            raise BudgetExceededError
        self.calls += asked

    def on_lm_end(self, call_id: str, outputs: Any, exception: BaseException | None = None) -> None:
        """Stop at the first failure."""
        if exception is not None and not isinstance(exception, BudgetExceededError):
            self.failure = exception
            raise BudgetExceededError


def is_parse_error(error: BaseException | None) -> bool:
    """Return whether an answer that could not be parsed caused an error."""
    while error is not None:
        if isinstance(error, AdapterParseError):
            return True
        error = error.__cause__ or error.__context__
    return False


@contextlib.contextmanager
def silence_optimizers() -> Iterator[None]:
    """Redirect what optimizers print to standard error, and log only their errors."""
    loud = logging.getLogger("dspy")
    level = loud.level
    loud.setLevel(logging.ERROR)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        loud.setLevel(level)
