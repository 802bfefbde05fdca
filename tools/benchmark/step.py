"""Time a training: python tools/benchmark/step.py configs/ecl/ecl_r8_digits-lt.py"""

import json
from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path

from mmengine.dist import is_main_process

from ecl.apis import run_tool
from ecl.apis.benchmark import benchmark_step
from ecl.apis.benchmark.table import show
from ecl.apis.cli import add_cfg_options
from ecl.apis.launch import LAUNCHERS
from ecl.errors import UserError


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the command line, time, show."""
    parser = ArgumentParser(
        description='Time the training of a configuration beside barer loops over the same model, '
        'in turns, so that their ratios hold on a busy machine too.'
    )
    parser.add_argument('config', help='configuration file')
    parser.add_argument('--json', metavar='FILE', help='write the measurements there')
    parser.add_argument('--steps', type=int, default=10, help='steps in a window; default: 10')
    parser.add_argument('--repeats', type=int, default=7, help='windows of each loop; default: 7')
    parser.add_argument(
        '--eval-images', type=int, default=2000, help='test images to predict; default: 2000'
    )
    parser.add_argument('--amp', action='store_true', help='mixed precision in bfloat16')
    parser.add_argument('--launcher', choices=LAUNCHERS, default='none', help='under torchrun')
    add_cfg_options(parser)
    arguments = vars(parser.parse_args(argv))
    out = arguments.pop('json')
    if out and not Path(out).parent.is_dir():
        raise UserError(f'cannot write {out}: folder {Path(out).parent} does not exist')
    result = benchmark_step(**arguments)
    if not is_main_process():
        return
    print(show(result))
    if out:
        Path(out).write_text(json.dumps(result, indent=2) + '\n')


if __name__ == '__main__':
    run_tool(main)
