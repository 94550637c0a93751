"""``task-delegator``: a file for each command, with its options and handler."""

from .command_line import main, parser
from .options import add_lm_share, number_in, seconds

__all__ = ["add_lm_share", "main", "number_in", "parser", "seconds"]
