"""How every stage asks its LM: one adapter, one meaning of failure.

``ask`` is the boundary to the LM. Whatever it says comes out as a prediction, as None where it
cannot be read, or as ``LMError``.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from traceback import format_tb, walk_tb
from typing import Any

import dspy
from dspy.utils.callback import BaseCallback
from dspy.utils.exceptions import AdapterParseError
from dspy.utils.exceptions import LMError as DspyLMError

from ..errors import LMError
from ..lm import PARSER_ERRORS, as_asked, guarded, writes
from ..text import describe_error, strings_in
from .coroutines import call_module, run_to_end

_SENT = ("prompt", "messages", "state", "questions")  # arguments of an LM that hold the prompt
_KEYS = ("api_key", "extra_headers", "headers", "aws_secret_access_key", "aws_session_token")
_log = logging.getLogger(__name__)


def ask(predict: dspy.Module, adapter: dspy.Adapter, **inputs: Any) -> dspy.Prediction | None:
    """Ask the LM of ``dspy.settings`` one question.

    The adapter that a user has set (``dspy.configure(adapter=...)`` or ``dspy.context``) goes
    before the stage's own. Log-probabilities are read where the slot stands in JSON, behind the
    heading of DSPy's chat format, or in its XML.

    Args:
        predict: a predictor, or a module around one.
        adapter: the stage's own.
        inputs: of the signature; ``config`` for settings of this call.

    Returns:
        The prediction, None where the answer cannot be read.

    Raises:
        LMError: the LM cannot be reached or refuses.
    """
    return run_to_end(aask(predict, adapter, **inputs))


async def aask(
    predict: dspy.Module,
    adapter: dspy.Adapter,
    hidden: frozenset[str] = frozenset(),
    **inputs: Any,
) -> Any:
    """Ask as ``ask`` does, on an event loop or under ``run_to_end``.

    Args:
        predict, adapter, inputs: as for ``ask``.
        hidden: names that the prompt may not hold; demos with one of them are left out.
    """
    try:
        with asking(chosen_adapter(adapter)):
            known = {**_guarding(predict), **_shown_demos(predict, hidden)}
            prediction = await call_module(predict, **known, **inputs)
            for _, inner in predict.named_predictors():
                signature: Any = inner.signature
                if any(name not in prediction for name in signature.output_fields):
                    raise UnreadableError("")  # an empty answer
            return prediction
    except UnreadableError:
        return None


def _guarding(predict: dspy.Module) -> dict[str, Any]:
    """Return what keeps the calls of an LM that a predictor has of its own within the deadline."""
    if not isinstance(predict, dspy.Predict | dspy.ChainOfThought):
        return {}  # a user's own module: what its predictors are bound to is up to it
    own = own_lm(predict)
    return {} if own is dspy.settings.lm else {"lm": guarded(as_asked(own))}


def _shown_demos(predict: dspy.Module, hidden: frozenset[str]) -> dict[str, Any]:
    """Return the demos of a predictor that may be shown, where some may not."""
    if not hidden or not isinstance(predict, dspy.Predict | dspy.ChainOfThought):
        return {}
    demos = [demo for each in predict.predictors() for demo in each.demos]
    shown = [demo for demo in demos if not _holds(demo, hidden)]
    return {} if len(shown) == len(demos) else {"demos": shown}


def _holds(demo: Any, names: frozenset[str]) -> bool:
    texts = strings_in(demo.toDict() if isinstance(demo, dspy.Example) else demo)
    return any(name in text for text in texts for name in names)


def own_lm(predict: dspy.Module) -> Any:
    """Return the LM that a predictor, or one in a module around it, asks; None for none."""
    bound = (each.lm for each in predict.predictors() if each.lm is not None)
    return next(bound, dspy.settings.lm)


def chosen_adapter(adapter: dspy.Adapter) -> dspy.Adapter:
    """Return the adapter that the user has set, else the given one."""
    return dspy.settings.adapter or adapter


class UnreadableError(Exception):
    """Report an LM's answer that holds no answer to the question; its text is ``answer``."""

    def __init__(self, answer: str) -> None:
        super().__init__("the answer cannot be read")
        self.answer = answer


@contextmanager
def asking(adapter: dspy.Adapter) -> Iterator[None]:
    """Ask through this adapter, in time; what goes wrong becomes one of two errors.

    The LM of ``dspy.settings`` is guarded: it keeps to the task's deadline, is asked again where
    that helps, and is left alone for a while where it is dead.

    An answer cannot be read where an adapter's parser fails, or DSPy's decoder of decisions. What
    fails elsewhere after the LM answered may be our own fault: it is logged with its place. It
    counts as an answer that cannot be read, since none may keep a task from its delegation.

    Raises:
        UnreadableError: the LM answered, and its answer cannot be read.
        LMError: the LM cannot be reached or refuses.
    """
    sent = _Sent()
    try:
        lm = dspy.settings.lm and guarded(dspy.settings.lm)
        callbacks = [*dspy.settings.callbacks, sent]
        # No letter is streamed: in pieces the answer would come without log-probabilities.
        with dspy.context(adapter=adapter, callbacks=callbacks, lm=lm, send_stream=None):
            yield
    except (LMError, UnreadableError):
        raise
    except AdapterParseError as error:
        raise UnreadableError(error.lm_response) from error
    except DspyLMError as error:
        if isinstance(error.__cause__, RecursionError):  # DSPy reads JSON before adapters do
            raise UnreadableError("") from error
        raise LMError(f"the LM did not answer: {sent.describe(error)}") from error
    except Exception as error:
        if sent.answered and isinstance(error, PARSER_ERRORS):
            if error is not sent.unparsed and not _is_decoding(error):
                sent.log(error)
            raise UnreadableError("") from error
        # Clients of decision models raise their SDK's types, LMs of somebody's own whatever.
        if sent.decider or error is sent.failure:
            raise LMError(f"the LM did not answer: {sent.describe(error)}") from error
        raise


def _is_decoding(error: BaseException) -> bool:
    """Tell whether DSPy found an answer to be no decision, which none of its parsers does."""
    modules = [frame.f_globals["__name__"] for frame, _ in walk_tb(error.__traceback__)]
    *_, checked_by = (name for name in modules if not name.startswith("pydantic."))
    return checked_by.startswith("dspy.adapters.decision")


class _Sent(BaseCallback):
    """Remember what the LM was sent, so that no error shows it, and whether it answered.

    Attributes:
        decider: whether it is a decision model.
        answered, failure: of the last call; what the LM raised, None where it answered.
        unparsed: what the last parser raised, None where it could read the answer.
    """

    def __init__(self) -> None:
        self.decider = False
        self.answered = False
        self.failure: BaseException | None = None
        self.unparsed: BaseException | None = None
        self._texts: list[str] = []
        self._keys: list[str] = []

    def on_lm_start(self, call_id: str, instance: Any, inputs: dict[str, Any]) -> None:
        self.decider = not writes(instance)
        self._texts += [text for name in _SENT for text in strings_in(inputs.get(name))]
        given = {**getattr(instance, "kwargs", {}), **(inputs.get("kwargs") or {})}
        given |= {"api_key": given.get("api_key") or getattr(instance, "api_key", None)}
        self._keys += [text for name in _KEYS for text in strings_in(given.get(name))]

    def on_lm_end(self, call_id: str, outputs: Any, exception: BaseException | None = None) -> None:
        self.answered, self.failure = exception is None, exception

    def on_adapter_parse_end(
        self, call_id: str, outputs: Any, exception: BaseException | None = None
    ) -> None:
        self.unparsed = exception

    def describe(self, error: BaseException) -> str:
        """Return the error on one line, without what was sent."""
        return describe_error(error, self._texts, self._keys)

    def log(self, error: BaseException) -> None:
        """Log an error with where it was raised; of its text what may be shown."""
        where = "".join(format_tb(error.__traceback__))
        _log.error("the LM answered, then: %s\n%s", self.describe(error), where)
