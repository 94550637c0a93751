"""How an LM fails: one name for each kind of failure, and what follows from it."""

import math
import time
from collections.abc import Iterator, Mapping
from email.utils import parsedate_to_datetime
from typing import Literal

from dspy.utils.exceptions import (
    LMAuthError,
    LMBillingError,
    LMConfigurationError,
    LMInvalidRequestError,
    LMProviderError,
    LMRateLimitError,
    LMServerError,
    LMTimeoutError,
    LMTransportError,
    LMUnexpectedError,
    LMUnsupportedFeatureError,
    LMUnsupportedModelError,
    is_retryable_lm_error,
)
from dspy.utils.exceptions import LMError as DspyLMError

from ..errors import LMAnswerError, LMError

Fault = Literal[
    "time-out",
    "unreachable",
    "rate limit",
    "server error",
    "refused",
    "paused",
    "overloaded",
    "unreadable",
    "other",
]


class LMPausedError(DspyLMError):
    """Report an LM that is not asked for a while, because it failed before."""

    default_code = "paused"


class LMOverloadedError(DspyLMError):
    """Report an LM of which too many calls hang to send it another."""

    default_code = "overloaded"


_FAULTS: tuple[tuple[type[BaseException], Fault], ...] = (
    (LMAnswerError, "unreadable"),
    (LMPausedError, "paused"),
    (LMOverloadedError, "overloaded"),
    (LMTimeoutError, "time-out"),
    (LMTransportError, "unreachable"),
    (LMRateLimitError, "rate limit"),
    (LMServerError, "server error"),
    (LMAuthError, "refused"),
    (LMBillingError, "refused"),
    (LMInvalidRequestError, "refused"),
    (LMConfigurationError, "refused"),
    (LMUnsupportedFeatureError, "refused"),
)
# What DSPy's parsers, and those below them, raise at an answer: nested too deeply, a wrong kind, a
# dict as a dict's key, all probabilities zero.
PARSER_ERRORS = (
    *(ArithmeticError, AttributeError, LookupError, MemoryError),
    *(RecursionError, TypeError, ValueError),
)
# These say nothing of the LM: it was not asked, or the request fits no LM of its kind.
_NOT_THE_LM = (
    LMPausedError,
    LMOverloadedError,
    LMInvalidRequestError,
    LMConfigurationError,
    LMUnsupportedFeatureError,
)


def fault_of(error: BaseException) -> Fault:
    """Return the kind of a failure, from the error or what caused it.

    What the system said of the connection goes before what an SDK made of it: LiteLLM calls a
    server that is not there one that failed.
    """
    chain = list(_chain(error))
    for each in chain:
        if isinstance(each, TimeoutError | ConnectionError):
            return "time-out" if isinstance(each, TimeoutError) else "unreachable"
    for each in chain:
        for kind, fault in _FAULTS:
            if isinstance(each, kind):
                return fault
        if _is_unreadable(each):
            return "unreadable"
        status = getattr(each, "status_code", None)
        if isinstance(status, int) and status >= 400:
            return "rate limit" if status == 429 else "server error" if status > 499 else "refused"
    return "other"


def _is_unreadable(error: BaseException) -> bool:
    """Tell whether the LM sent an answer that DSPy's client could not read."""
    if type(error) is not LMProviderError and not isinstance(error, LMUnexpectedError):
        return False
    return error.status == 200 or isinstance(error.__cause__, PARSER_ERRORS)


def retry_after(error: BaseException) -> float | None:
    """Return the seconds that the LM asked to be left alone, None where it said nothing usable."""
    for each in _chain(error):
        headers = getattr(getattr(each, "response", None), "headers", None)
        said = getattr(each, "retry_after", None)
        if said is None and isinstance(headers, Mapping):
            said = headers.get("retry-after")
        seconds = _seconds(said)
        if seconds is not None:
            return seconds
    return None


def _seconds(said: object) -> float | None:
    """Return what a Retry-After header says, a number of seconds or a date."""
    if said is None or isinstance(said, bool):
        return None
    try:
        seconds = float(str(said))
    except ValueError:
        try:
            at = parsedate_to_datetime(str(said))
        except ValueError:
            return None
        seconds = at.timestamp() - time.time()
    return max(0.0, seconds) if math.isfinite(seconds) else None


def is_worth_retrying(error: BaseException) -> bool:
    """Tell whether the same request may succeed in a moment."""
    return isinstance(error, DspyLMError) and is_retryable_lm_error(error)


def is_about_the_lm(error: BaseException) -> bool:
    """Tell whether a failure says that the LM does not work, rather than this one request."""
    if isinstance(error, LMUnsupportedModelError):
        return True
    return isinstance(error, DspyLMError | LMError) and not isinstance(error, _NOT_THE_LM)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and its causes."""
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield cause
        cause = cause.__cause__ or cause.__context__
