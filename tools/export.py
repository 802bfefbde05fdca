"""Export a model: python tools/export.py CHECKPOINT --out model.onnx"""

from argparse import ArgumentParser
from collections.abc import Sequence

from ecl.apis import export, trust_checkpoints
from ecl.apps.cli import add_trust_argument, run_tool


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the command line, export, and tell how exact the file is."""
    parser = ArgumentParser(
        description='Write a model as one file that needs neither this package nor a configuration.'
    )
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument('--out', required=True, metavar='FILE', help='file to write')
    parser.add_argument(
        '--format',
        dest='file_format',
        choices=('onnx', 'torch'),
        default='onnx',
        help='onnx (default), or torch: a program of torch.export, .pt2',
    )
    parser.add_argument(
        '--what', default='ensemble', help='ensemble (default), or one expert alone: expert0, ...'
    )
    parser.add_argument(
        '--preprocess',
        action='store_true',
        help='take images as uint8 in RGB, and normalise them in the file',
    )
    add_trust_argument(parser)
    arguments = vars(parser.parse_args(argv))
    with trust_checkpoints(arguments.pop('trust_checkpoint')):
        difference = export(**arguments)
    print(f'{arguments["out"]}: differs from PyTorch by at most {difference:.1e}')


if __name__ == '__main__':
    run_tool(main)
