"""Train a model: python tools/train.py configs/ecl/ecl_r8_digits-lt.py"""

from argparse import ArgumentParser
from collections.abc import Sequence

from ecl.apis import train, trust_checkpoints
from ecl.apps.cli import add_common_arguments, run_tool


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the command line and train."""
    parser = ArgumentParser(description='Train a model.')
    parser.add_argument('config', help='configuration file')
    add_common_arguments(parser)
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='auto|PATH',
        help='go on from a checkpoint; alone or with "auto": from the latest in the work dir',
    )
    parser.add_argument('--amp', action='store_true', help='mixed precision in bfloat16')
    parser.add_argument('--seed', type=int, help='random seed; default: that of the file, or 0')
    arguments = vars(parser.parse_args(argv))
    with trust_checkpoints(arguments.pop('trust_checkpoint')):
        train(**arguments)


if __name__ == '__main__':
    run_tool(main)
