"""``python -m optimize.data check``: check this project's own dataset."""

import sys

from optimize.data.checks import main

sys.exit(main(sys.argv[1:]))
