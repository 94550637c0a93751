"""How every command line ends: an exit code, and one line where something is wrong."""

import os
import sys
from collections.abc import Callable

from ..errors import STOPPED, DelegatorError
from ..system import accept_any_text
from .options import tell


def run_to_exit_code(name: str, run: Callable[[], int]) -> int:
    """Run a command and return its exit code, or that of what ended it.

    That is the error's own (2 or 3), 130 after Ctrl-C, as shells have it, and 1 where who read the
    output closed it.

    Args:
        name: of the command, for messages.
        run: does its work.
    """
    accept_any_text()
    try:
        return run()
    except DelegatorError as error:
        tell(error, name)
        return error.exit_code
    except BrokenPipeError:  # who read the output has what was wanted, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        tell("stopped", name)
        return STOPPED
