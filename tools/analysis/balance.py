"""Compare methods at equal balance: python tools/analysis/balance.py RUN RUN ... --out NAME"""

from argparse import ArgumentParser
from collections.abc import Sequence

from ecl.apis import trust_checkpoints
from ecl.apps.cli import add_cfg_options, add_trust_argument, run_tool
from ecl.apps.experiments.balance import balance
from ecl.evaluation.calibration import STRENGTHS


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the command line and compare."""
    parser = ArgumentParser(
        description='Overall and few-shot accuracy as the prior is corrected further at '
        'prediction: the method whose curve lies higher is better at any balance.'
    )
    parser.add_argument(
        'paths', nargs='+', metavar='RUN', help='a work dir, or a folder of them (seeds)'
    )
    parser.add_argument(
        '--out', metavar='NAME', required=True, help='NAME.json, NAME.md and NAME.png'
    )
    parser.add_argument(
        '--strengths', nargs='+', type=float, default=STRENGTHS, help='of the correction'
    )
    add_cfg_options(parser)
    add_trust_argument(parser)
    arguments = vars(parser.parse_args(argv))
    with trust_checkpoints(arguments.pop('trust_checkpoint')):
        balance(**arguments)


if __name__ == '__main__':
    run_tool(main)
