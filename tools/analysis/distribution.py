"""Class sizes of training and test data: python tools/analysis/distribution.py CONFIG"""

from argparse import ArgumentParser
from collections.abc import Sequence

from ecl.apps.cli import add_cfg_options, run_tool
from ecl.apps.data.browse import distribution


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the command line and draw."""
    parser = ArgumentParser(description='Draw the class sizes, coloured by shot group.')
    parser.add_argument('config', help='configuration file')
    parser.add_argument('--out', metavar='FILE.png', help='default: in the work dir')
    add_cfg_options(parser)
    print(distribution(**vars(parser.parse_args(argv))))


if __name__ == '__main__':
    run_tool(main)
