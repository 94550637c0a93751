"""``task-delegator``: a file for each command, with its options and handler."""

from .command_line import main, parser
from .options import add_lm_share, rate, seconds, share

__all__ = ["add_lm_share", "main", "parser", "rate", "seconds", "share"]
