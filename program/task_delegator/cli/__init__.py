"""Commands of ``task-delegator``: one file each, with its options and handler."""

from .command_line import main, parser
from .options import rate, seconds, share

__all__ = ["main", "parser", "rate", "seconds", "share"]
