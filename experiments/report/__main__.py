"""Render pages and blocks: ``python -m experiments.report [--entry STUDY]``."""

import argparse

from experiments.report import plots
from experiments.report.log import entry
from experiments.report.render import main as render
from experiments.studies import names


def main() -> None:
    """Draw the plots and rewrite the documents, or print the draft of a log entry."""
    parser = argparse.ArgumentParser(prog="experiments.report", description=__doc__)
    parser.add_argument("--entry", choices=names(), help="print a log entry of its result instead")
    parser.add_argument("--plots", action="store_true", help="draw the plots again too")
    options = parser.parse_args()
    if options.entry:
        print(entry(options.entry))
        return
    if options.plots:
        plots.draw()
    render()


if __name__ == "__main__":
    main()
