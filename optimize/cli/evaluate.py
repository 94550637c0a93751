"""``evaluate``: evaluate a program, or compare two."""

import argparse
import json
from pathlib import Path
from typing import Any

from optimize.cli.arguments import at_least
from optimize.cli.common import Commands, Parents, optional_lm, out_of_scope_share, refuse_no_lm


def add_parser(commands: Commands, parents: Parents) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "evaluate",
        parents=[parents.data, parents.seed, parents.lm],
        help="evaluate a program, or compare two",
    )
    parser.add_argument("program", help="a program's name or folder")
    parser.add_argument("other", nargs="?", help="second program, to compare with")
    parser.add_argument("--split", choices=("train", "validation", "test"), default="test")
    parser.add_argument(
        "--limit", type=at_least(1), help="evaluate a random subset of this size, fixed by the seed"
    )
    parser.add_argument(
        "--prompt", action="append", default=[], metavar="URI",
        help="prompt of MLflow's registry to try in place of the program's own, such as "
        "prompts:/delegator.classify.select@champion; may be repeated",
    )  # fmt: skip
    out_of_scope_share(parser)
    parser.add_argument("--gate-open", action="store_true", help="ask the LM about every task")
    parser.add_argument(
        "--embedder", default=parents.embedder, help="embedder spec; the program's by default"
    )
    parser.add_argument(
        "--json", help="write the report as JSON to a file, or to standard output with -"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Evaluate a program on a split, or compare two."""
    from optimize.data import load_dataset
    from optimize.evaluation import compare_programs, evaluate
    from optimize.lm_stage import opened
    from task_delegator.artifact import load
    from task_delegator.system import write_text
    from task_delegator.text import printable

    if options.gate_open:
        refuse_no_lm(options, "--gate-open asks the LM about every task")
    dataset = load_dataset(options.data, enriched=options.enriched)
    programs = [
        (
            name,
            load(name, dataset.registry, embedder=options.embedder, prompts=options.prompt),
        )
        for name in (options.program, options.other)
        if name is not None
    ]
    if options.gate_open:
        programs = [(name, opened(program)) for name, program in programs]
    lm = optional_lm(options)
    settings: dict[str, Any] = {"lm": lm, "limit": options.limit, "seed": options.seed}
    if len(programs) == 2:
        found = compare_programs(programs, dataset, options.split, **settings)
    else:
        ((name, program),) = programs
        settings["out_of_scope_share"] = options.out_of_scope_share
        found = evaluate(program, dataset, options.split, name=name, **settings)
    text = json.dumps(found.to_dict(), indent=1)
    if options.json == "-":
        print(text)
        return 0
    if options.json:
        write_text(Path(options.json), text + "\n")
    print(printable(found.sentence()))
    return 0
