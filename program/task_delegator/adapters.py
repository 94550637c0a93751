"""JSON adapter of the LM stages, which refuses answers that are too long to parse."""

import dspy
from dspy.utils.exceptions import AdapterParseError

# DSPy repairs broken JSON with two parsers that take quadratic time over braces that stay open
# and over stray quotes within a list. No answer of these stages has more braces than a few; one
# of 2,000 tokens, as a plan that repeats a long task, is still read.
_MOST_BRACES = 64
_MOST_CHARACTERS = 8000


class BoundedJSONAdapter(dspy.JSONAdapter):
    """JSON that is parsed in bounded time: longer or wilder answers cannot be read."""

    def parse(self, signature: type[dspy.Signature], completion: str) -> dict[str, object]:
        """Return the answer's fields.

        Raises:
            AdapterParseError: it cannot be read, or is too long, has too many braces or is
                nested too deeply to be an answer.
        """
        message = "The answer is too long, or nested too deeply, to be parsed."
        if len(completion) <= _MOST_CHARACTERS and completion.count("{") <= _MOST_BRACES:
            try:
                return super().parse(signature, completion)
            except (RecursionError, MemoryError, TypeError, ValueError) as error:
                # What the parsers raise at "[[[", "---", a dict as a dict's key, "/*".
                message = f"The answer cannot be parsed: {type(error).__name__}."
        raise AdapterParseError(
            adapter_name=type(self).__name__,
            signature=signature,  # type: ignore[arg-type]
            lm_response=completion,
            message=message,
        )
