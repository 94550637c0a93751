"""Text of others: overlap, sanitizing, mentions of agents, languages, redaction."""

from .languages import foreign_language
from .mentions import AgentMentions
from .overlap import fold, overlap, overlapping, words
from .redact import describe_error, strings_in, without_user
from .sanitize import one_line

__all__ = [
    "AgentMentions",
    "describe_error",
    "fold",
    "foreign_language",
    "one_line",
    "overlap",
    "overlapping",
    "strings_in",
    "without_user",
    "words",
]
