"""Examine the data of a configuration before training: python tools/dataset/check.py CONFIG"""

import json
import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from dataclasses import asdict

from ecl.apps.cli import add_cfg_options, run_tool
from ecl.apps.data.verify import KINDS, check_data, print_report


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the command line and examine; exit status 1 if there is a fault."""
    parser = ArgumentParser(description='Examine the data of a configuration before training.')
    parser.add_argument('config', help='configuration file')
    parser.add_argument('--json', action='store_true', help='print the whole report as JSON')
    parser.add_argument('--workers', type=int, metavar='N', help='threads that read images')
    parser.add_argument('--work-dir', help='folder of the training; remembers what was read')
    add_cfg_options(parser)
    parser.add_argument(
        '--accept', nargs='+', choices=KINDS, default=(), help='kinds of fault that are none here'
    )
    args = parser.parse_args(argv)
    report = check_data(args.config, args.work_dir, args.workers, args.cfg_options, args.accept)
    if args.json:
        print(json.dumps(asdict(report) | {'sound': report.sound}, indent=2))
    else:
        print_report(report)
    sys.exit(0 if report.sound else 1)


if __name__ == '__main__':
    run_tool(main)
