"""Compare trainings: python tools/analysis/compare.py RUN RUN ..."""

from argparse import ArgumentParser
from collections.abc import Sequence

from ecl.apis import trust_checkpoints
from ecl.apps.cli import add_trust_argument, run_tool
from ecl.apps.experiments.compare import compare


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the command line and compare."""
    parser = ArgumentParser(
        description='Trainings side by side, and whether they differ from the first by more than '
        'chance.'
    )
    parser.add_argument(
        'paths',
        nargs='+',
        metavar='RUN',
        help='a work dir, a folder of them (seeds of one method), results.json, or table.json of '
        'a matrix',
    )
    parser.add_argument('--out', metavar='NAME', help='write NAME.md and NAME.json as well')
    add_trust_argument(parser)
    arguments = vars(parser.parse_args(argv))
    with trust_checkpoints(arguments.pop('trust_checkpoint')):
        compare(**arguments)


if __name__ == '__main__':
    run_tool(main)
