"""``task-delegator``: a file for each command, with its options and handler."""

from .command_line import main, parser
from .ending import run_to_exit_code
from .options import add_calibrate, add_lm_share, number_in, seconds, whole_number

__all__ = [
    "add_calibrate",
    "add_lm_share",
    "main",
    "number_in",
    "parser",
    "run_to_exit_code",
    "seconds",
    "whole_number",
]
