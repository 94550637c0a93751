"""Run an experiment: ``python -m experiments NAME [--quick]``.

A full run is saved under the commit of the clean tree that ran it; a quick one prints.
"""

import argparse
import json
import os
import sys

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")

from experiments import (
    asking,
    attacks,
    channels,
    default,
    enrichment,
    hardness,
    languages,
    parts,
    plans,
    public,
)
from experiments.results import clean_commit, save
from task_delegator.errors import DelegatorError

EXPERIMENTS = {
    "asking": asking.run,
    "attacks": attacks.run,
    "channels": channels.run,
    "default": default.run,
    "enrichment": enrichment.run,
    "hardness": hardness.run,
    "languages": languages.run,
    "parts": parts.run,
    "plans": plans.run,
    "public": public.run,
}


def main() -> int:
    """Run one experiment; return 0, or 2 where it cannot run."""
    parser = argparse.ArgumentParser(prog="experiments", description=__doc__)
    parser.add_argument("name", choices=sorted(EXPERIMENTS))
    parser.add_argument("--quick", action="store_true", help="small, and not saved")
    options = parser.parse_args()
    try:
        head = "" if options.quick else clean_commit()
        rows = EXPERIMENTS[options.name](options.quick)
        if options.quick:
            print(json.dumps(rows, indent=1))
        else:
            print(save(options.name, head, rows))
    except DelegatorError as error:
        print(f"experiments {options.name}: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
