"""A page about trainings: python tools/analysis/report.py WORK_DIR [WORK_DIR ...]"""

from argparse import ArgumentParser
from collections.abc import Sequence

from ecl.apis import trust_checkpoints
from ecl.apps.cli import add_trust_argument, run_tool
from ecl.apps.report import report


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the command line and write the page."""
    parser = ArgumentParser(description='Write a page about one training or several side by side.')
    parser.add_argument('work_dirs', nargs='+', metavar='WORK_DIR', help='folder of a training')
    parser.add_argument(
        '--out',
        metavar='FILE.html',
        help='default: report.html, in the work dir if there is one only',
    )
    add_trust_argument(parser)
    arguments = vars(parser.parse_args(argv))
    with trust_checkpoints(arguments.pop('trust_checkpoint')):
        print(report(**arguments))


if __name__ == '__main__':
    run_tool(main)
