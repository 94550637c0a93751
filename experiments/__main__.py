"""Run an experiment: ``python -m experiments NAME [--quick]``.

A full run is saved under the commit of the clean tree that ran it and logged to MLflow with its
pictures; a quick one prints.
"""

import argparse
import json
import os
import sys
from time import perf_counter

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")

from experiments.report import plots
from experiments.report.publish import publish
from experiments.studies import (
    ablation,
    asking,
    attacks,
    confidence,
    default,
    enrichment,
    finetuned,
    languages,
    optimizers,
    order,
    peers,
    plans,
    prompting,
    public,
    scaling,
)
from experiments.support.results import clean_commit, constants, save
from task_delegator.errors import DelegatorError

EXPERIMENTS = {
    "ablation": ablation,
    "asking": asking,
    "attacks": attacks,
    "confidence": confidence,
    "default": default,
    "enrichment": enrichment,
    "finetuned": finetuned,
    "languages": languages,
    "optimizers": optimizers,
    "order": order,
    "peers": peers,
    "plans": plans,
    "prompting": prompting,
    "public": public,
    "scaling": scaling,
}


def main() -> int:
    """Run one experiment; return 0, or 2 where it cannot run."""
    parser = argparse.ArgumentParser(prog="experiments", description=__doc__)
    parser.add_argument("name", choices=sorted(EXPERIMENTS))
    parser.add_argument("--quick", action="store_true", help="small, and not saved")
    options = parser.parse_args()
    try:
        head = "" if options.quick else clean_commit()
        started = perf_counter()
        experiment = EXPERIMENTS[options.name]
        rows = experiment.run(options.quick)
        if options.quick:
            print(json.dumps(rows, indent=1))
            return 0
        path = save(options.name, head, constants(experiment), rows, perf_counter() - started)
        plots.draw(options.name)
        publish(options.name)
        print(path)
    except DelegatorError as error:
        print(f"experiments {options.name}: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
