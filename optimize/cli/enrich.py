"""``enrich``: let an LM complete the agents of a dataset."""

import argparse
import sys
from dataclasses import asdict
from pathlib import Path

from optimize.cli.common import Commands, Parents, print_json
from task_delegator.cli import whole_number
from task_delegator.settings import EMBEDDER


def add_parser(commands: Commands, parents: Parents) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "enrich",
        parents=[parents.folder, parents.lm],
        help="let an LM add details to the agents of a dataset",
    )
    parser.add_argument(
        "--number", type=whole_number(1), default=8, help="requests to write per agent"
    )
    parser.add_argument(
        "--max-lm-calls",
        type=whole_number(1),
        help="agents to write for in this run; all by default",
    )
    parser.add_argument("--embedder", default=parents.embedder or EMBEDDER, help="embedder spec")
    parser.add_argument("--out", default="runs/enrichment.json", help="output file, for review")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Let an LM complete the agents of a dataset."""
    from optimize.data import load_dataset
    from optimize.recorded import language_model
    from optimize.synthesis import enrich_dataset
    from task_delegator.delegator import Delegator
    from task_delegator.embedders import embedder

    dataset = load_dataset(options.data, enriched=False)
    written, dropped = enrich_dataset(
        Delegator(dataset.registry, embedder(options.embedder)),
        dataset,
        language_model(options.lm),
        Path(options.out),
        number=options.number,
        limit=options.max_lm_calls,
    )
    kept = sum(len(addition.user_request_samples) for addition in written.agents.values())
    result = {"agents": len(written.agents), "requests": kept, "dropped": asdict(dropped)}
    print_json(result)
    print(f"review {options.out} before a registry takes it up", file=sys.stderr)
    return 0
