"""Text of others: overlap, sanitizing, agents that are named, negation, redaction."""

from .credentials import without_user
from .fine import without_fine
from .identifiers import identifier_words
from .mentions import AgentMentions
from .naming import NamedAgents
from .negation import negated_spans, without_negated
from .opposites import opposite_operation
from .overlap import fold, overlap, overlapping, words
from .quoted import own_words
from .redact import describe_error, redact, shown_safely, strings_in
from .sanitize import longest_form, marks_content, one_line, plain, printable, with_few_marks
from .verbatim import repeated_words

__all__ = [
    "AgentMentions",
    "NamedAgents",
    "describe_error",
    "fold",
    "identifier_words",
    "longest_form",
    "marks_content",
    "negated_spans",
    "one_line",
    "opposite_operation",
    "own_words",
    "overlap",
    "overlapping",
    "plain",
    "printable",
    "redact",
    "repeated_words",
    "shown_safely",
    "strings_in",
    "with_few_marks",
    "without_fine",
    "without_negated",
    "without_user",
    "words",
]
