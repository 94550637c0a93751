"""``synthesize``: let an LM write a dataset for given domains."""

import argparse
import sys
from pathlib import Path

from optimize.cli.common import Commands, Parents, print_json
from task_delegator.cli import whole_number
from task_delegator.settings import EMBEDDER


def add_parser(commands: Commands, parents: Parents) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "synthesize",
        parents=[parents.seed, parents.lm],
        help="let an LM write a dataset for given domains",
    )
    parser.add_argument(
        "--domains", nargs="*", default=(), metavar="DOMAIN", help='such as "accounts payable"'
    )
    parser.add_argument(
        "--agents", type=whole_number(0), default=8, help="agents per domain, at least 2"
    )
    parser.add_argument("--requests", type=whole_number(0), default=10, help="requests per agent")
    parser.add_argument(
        "--max-lm-calls",
        type=whole_number(0),
        help="limit over all runs with the same output; three times the need by default",
    )
    parser.add_argument("--embedder", default=parents.embedder or EMBEDDER, help="embedder spec")
    parser.add_argument("--out", default="runs/synthetic", help="output dataset directory")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Let an LM write agents and labeled requests for named domains."""
    from optimize.recorded import language_model
    from optimize.synthesis import SynthesisSpec, synthesize
    from task_delegator.embedders import embedder

    spec = SynthesisSpec(
        domains=tuple(" ".join(domain.split()) for domain in options.domains),
        agents=options.agents,
        requests=options.requests,
        max_lm_calls=options.max_lm_calls,
        seed=options.seed,
    )
    spec.check()
    lm, embed = language_model(options.lm), embedder(options.embedder)
    limits = f"{spec.planned_calls} LM calls are needed, at most {spec.call_limit} are made"
    print(f"{limits} (--max-lm-calls), those of earlier runs counted", file=sys.stderr)
    report = synthesize(spec, lm, embed, Path(options.out))
    print_json(report)
    if not report["requests"]["compilable"]:
        print("too few validation requests to compile for: ask for more", file=sys.stderr)
    print(f"read {options.out} before it is used", file=sys.stderr)
    return 0
