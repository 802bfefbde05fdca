"""Predict images: python tools/predict.py CHECKPOINT IMAGE_OR_FOLDER"""

import sys
from argparse import ArgumentParser
from collections.abc import Sequence

from ecl.apis import trust_checkpoints
from ecl.apps.cli import add_trust_argument, run_tool
from ecl.apps.predict import predict


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the command line and predict; exit with 1 if a file is no sound image."""
    parser = ArgumentParser(description='Predict an image or a folder of images.')
    parser.add_argument('checkpoint', help='checkpoint file; no configuration is needed')
    parser.add_argument('source', metavar='IMAGE_OR_FOLDER', help='searched at any depth')
    parser.add_argument('--topk', type=int, default=5, help='classes to name; default: 5')
    parser.add_argument('--expert', type=int, metavar='K', help='this expert alone, from 0')
    parser.add_argument('--out', metavar='FILE.csv|FILE.json', help='write instead of printing')
    parser.add_argument('--batch-size', type=int, default=32, help='default: 32')
    parser.add_argument('--device', help='such as cpu or cuda:1; default: a GPU if there is one')
    add_trust_argument(parser)
    arguments = vars(parser.parse_args(argv))
    with trust_checkpoints(arguments.pop('trust_checkpoint')):
        results = predict(**arguments)
    sys.exit(any(result.fault for result in results))


if __name__ == '__main__':
    run_tool(main)
