"""Compare methods over seeds: python tools/analysis/matrix.py configs/ecl/ablation/MATRIX.yaml"""

import signal
from argparse import ArgumentParser
from collections.abc import Sequence

from ecl.apps.cli import run_tool
from ecl.apps.experiments.matrix import run_matrix


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the command line and run."""
    parser = ArgumentParser(
        description='Train configurations with several seeds and write one table. A second call '
        'goes on where the first was interrupted.'
    )
    parser.add_argument('path', metavar='MATRIX', help='YAML or JSON file: title, seeds, rows')
    parser.add_argument('--work-dir', help='folder of the trainings; default: work_dirs/MATRIX')
    parser.add_argument(
        '--out', metavar='NAME', help='table NAME.md and NAME.json; default: in the work dir'
    )
    parser.add_argument('--jobs', type=int, default=1, help='trainings at the same time')
    # Ended like Ctrl-C, so that the trainings end too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    run_matrix(**vars(parser.parse_args(argv)))


if __name__ == '__main__':
    run_tool(main)
