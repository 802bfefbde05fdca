"""Evaluate a checkpoint: python tools/test.py CONFIG CHECKPOINT"""

from argparse import ArgumentParser
from collections.abc import Sequence

from ecl.apis import add_common_arguments, run_tool, test, trust_checkpoints


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the command line and evaluate."""
    parser = ArgumentParser(description='Evaluate a checkpoint on the test data.')
    parser.add_argument('config', help='configuration file')
    parser.add_argument('checkpoint', help='checkpoint file')
    add_common_arguments(parser)
    parser.add_argument('--out', metavar='FILE.json', help='write the metrics to this file')
    arguments = vars(parser.parse_args(argv))
    with trust_checkpoints(arguments.pop('trust_checkpoint')):
        test(**arguments)


if __name__ == '__main__':
    run_tool(main)
