"""Evaluate a checkpoint: python tools/test.py CONFIG CHECKPOINT"""

from argparse import ArgumentParser
from collections.abc import Sequence

from ecl.apis import test, trust_checkpoints
from ecl.apps.cli import add_common_arguments, run_tool
from ecl.evaluation.distributions import IMBALANCE_FACTORS


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the command line and evaluate."""
    parser = ArgumentParser(description='Evaluate a checkpoint on the test data.')
    parser.add_argument('config', help='configuration file')
    parser.add_argument('checkpoint', help='checkpoint file')
    add_common_arguments(parser)
    parser.add_argument('--out', metavar='FILE.json', help='write the metrics to this file')
    parser.add_argument(
        '--per-class',
        metavar='FILE.csv',
        help='write the accuracy of each class and its training images to this file',
    )
    parser.add_argument(
        '--distributions',
        dest='imbalance_factors',
        nargs='*',
        type=float,
        metavar='IF',
        help='accuracy too where classes are as frequent in testing as in training, and the other '
        'way round, by these imbalance factors; default: 50 25 10 5 2',
    )
    parser.add_argument(
        '--test-lists',
        nargs='+',
        default=(),
        metavar='LIST',
        help='accuracy too on the test images of these lists, such as ImageNet_LT_forward50.txt',
    )
    parser.add_argument('--tta', action='store_true', help='average over several views of an image')
    arguments = vars(parser.parse_args(argv))
    factors = arguments.pop('imbalance_factors')
    arguments['imbalance_factors'] = () if factors is None else factors or IMBALANCE_FACTORS
    with trust_checkpoints(arguments.pop('trust_checkpoint')):
        test(**arguments)


if __name__ == '__main__':
    run_tool(main)
