"""Make a checkpoint fit to be handed on: python tools/publish.py CHECKPOINT"""

from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path

from ecl.apis import publish, trust_checkpoints
from ecl.apps.cli import add_trust_argument, run_tool


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the command line and write the file."""
    parser = ArgumentParser(
        description='Strip a checkpoint of all that does not predict; SHA-256 goes into its name.'
    )
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument('--out', metavar='FILE.pth', help='default: FOLDER_CHECKPOINT, beside it')
    add_trust_argument(parser)
    arguments = parser.parse_args(argv)
    with trust_checkpoints(arguments.trust_checkpoint):
        path = publish(arguments.checkpoint, arguments.out)
    before, after = (Path(file).stat().st_size / 1e6 for file in (arguments.checkpoint, path))
    print(f'{path} ({after:.1f} MB, before {before:.1f} MB)')


if __name__ == '__main__':
    run_tool(main)
