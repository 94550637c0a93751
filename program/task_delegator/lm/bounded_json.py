"""JSON adapter of the LM stages, which refuses answers that are too long to parse."""

import json
from typing import Any

import dspy
from dspy.utils.exceptions import AdapterParseError

from .faults import PARSER_ERRORS

# An answer of 2,000 tokens, as a plan that repeats a long task, is still read.
_MOST_CHARACTERS = 8000
# DSPy repairs what is no JSON, and texts where something else is expected, with parsers that take
# quadratic time over braces that stay open, and over stray quotes within a list. No answer of
# these stages has more braces than a few, nor more than some dozens of strings.
_MOST_BRACES = 64
_MOST_QUOTES = 512
_MOST_REPAIRED = 3000  # characters


class BoundedJSONAdapter(dspy.JSONAdapter):
    """JSON that is parsed in bounded time: longer or wilder answers cannot be read."""

    def parse(self, signature: type[dspy.Signature], completion: str) -> dict[str, object]:
        """Return the answer's fields.

        Raises:
            AdapterParseError: it cannot be read, is too long, has too many braces or quotes, or is
                nested too deeply to be an answer.
        """
        message = "The answer is too long, or nested too deeply, to be parsed."
        # Own LMs answer with numbers and lists, too, which no parser reads.
        completion = _bare(completion) if isinstance(completion, str) else ""
        if _is_bounded(completion, signature):
            try:
                return super().parse(signature, completion)
            except PARSER_ERRORS as error:  # at "[[[", "---", "/*"
                message = f"The answer cannot be parsed: {type(error).__name__}."
        raise AdapterParseError(
            adapter_name=type(self).__name__,
            signature=signature,  # type: ignore[arg-type]
            lm_response=completion,
            message=message,
        )


def _bare(completion: str) -> str:
    """Return the JSON object that a text is or holds; the text itself where that is none."""
    inner = completion[completion.find("{") : completion.rfind("}") + 1]
    return inner if len(completion) <= _MOST_CHARACTERS and _json(inner) is not None else completion


def _is_bounded(completion: str, signature: type[dspy.Signature]) -> bool:
    """Tell whether an answer, and what would be repaired in it, is short and flat enough."""
    if len(completion) > _MOST_CHARACTERS:
        return False
    fields = _json(completion)
    if fields is None:
        return _is_repairable(completion)
    texts = {name for name, field in signature.output_fields.items() if field.annotation is str}
    return all(
        _is_repairable(value)
        for name, value in fields.items()
        if isinstance(value, str) and name not in texts
    )


def _is_repairable(text: str) -> bool:
    few = text.count("{") <= _MOST_BRACES and text.count('"') <= _MOST_QUOTES
    return few and len(text) <= _MOST_REPAIRED


def _json(text: str) -> dict[str, Any] | None:
    """Return the object that a text is as JSON, None where it is none."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
