"""A page to try a model on: python tools/demo.py CHECKPOINT"""

from argparse import ArgumentParser
from collections.abc import Sequence

from ecl.apis import trust_checkpoints
from ecl.apps.cli import add_trust_argument, run_tool
from ecl.apps.demo import demo


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the command line and serve the page."""
    parser = ArgumentParser(description='Serve a page to try a model on, to this machine alone.')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument('--port', type=int, help='default: the first free one from 7860 on')
    add_trust_argument(parser)
    arguments = vars(parser.parse_args(argv))
    with trust_checkpoints(arguments.pop('trust_checkpoint')):
        demo(**arguments)


if __name__ == '__main__':
    run_tool(main)
