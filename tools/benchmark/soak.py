"""Kill and resume trainings: python tools/benchmark/soak.py --kills 20"""

from argparse import ArgumentParser
from collections.abc import Sequence

from ecl.apis.cli import add_cfg_options, run_tool
from ecl.apis.soak import soak

SIGNALS = ('KILL', 'TERM', 'USR1', 'INT')
CONFIG = 'configs/ecl/ecl_r8_digits-lt.py'
SHORT = {
    'train_cfg.max_epochs': 4,
    'train_cfg.val_interval': 2,
    'default_hooks.checkpoint.interval': 1,
    'default_hooks.logger.interval': 1,
}


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the command line and soak."""
    parser = ArgumentParser(
        description='Train, kill at a random moment, resume, and compare with a training that was '
        'left alone; over and over.'
    )
    parser.add_argument('config', nargs='?', default=CONFIG, help=f'default: {CONFIG}, 4 epochs')
    parser.add_argument('--kills', type=int, default=20, help='how often (default: 20)')
    parser.add_argument(
        '--signal', dest='signal_name', default='KILL', help='KILL, TERM, USR1, INT'
    )
    parser.add_argument('--processes', type=int, default=1, help='processes of each training')
    parser.add_argument('--seed', type=int, default=0, help='seed of the moments')
    parser.add_argument('--work-dir', help='folder of the trainings; default: work_dirs/soak')
    parser.add_argument('--out', metavar='FILE.json', help='write the result to this file')
    add_cfg_options(parser)
    arguments = vars(parser.parse_args(argv))
    short = SHORT if arguments['config'] == CONFIG else {}
    arguments['cfg_options'] = {**short, **(arguments['cfg_options'] or {})}
    soak(**arguments)


if __name__ == '__main__':
    run_tool(main)
