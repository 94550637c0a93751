"""``python -m task_delegator.cli`` is the command ``task-delegator``."""

import sys

from .command_line import main

sys.exit(main())
