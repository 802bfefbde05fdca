"""A sheet of images as the network gets them: python tools/analysis/browse.py CONFIG"""

from argparse import ArgumentParser
from collections.abc import Sequence

from ecl.apps.cli import add_cfg_options, run_tool
from ecl.apps.data.browse import browse


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the command line and draw."""
    parser = ArgumentParser(description='Draw images as the pipeline gives them, by class.')
    parser.add_argument('config', help='configuration file')
    parser.add_argument('--out', metavar='FILE.png', help='default: in the work dir')
    parser.add_argument(
        '--split', choices=('train', 'val', 'test'), default='train', help='which data'
    )
    parser.add_argument('--num-classes', type=int, default=8, metavar='N', help='classes: rows')
    parser.add_argument('--num-images', type=int, default=4, metavar='N', help='images in a row')
    parser.add_argument('--seed', type=int, default=0, help='seed of the augmentations')
    add_cfg_options(parser)
    print(browse(**vars(parser.parse_args(argv))))


if __name__ == '__main__':
    run_tool(main)
