"""Draw how the cost of a step grows: python tools/benchmark/scale.py CONFIG --out scale"""

import json
from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path

from ecl.apis import run_tool
from ecl.apis.benchmark.losses import benchmark_losses
from ecl.apis.benchmark.scale import benchmark_scale, draw_scale
from ecl.errors import UserError


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the command line, measure, write."""
    parser = ArgumentParser(
        description='Time a step on this processor as experts, batch, classes, queue and image '
        'grow, and predictions by the ensemble and cheaper forms of it.'
    )
    parser.add_argument('config', help='configuration file, with contrast, of 32-pixel images')
    parser.add_argument('--out', metavar='NAME', required=True, help='NAME.json and NAME.png')
    parser.add_argument('--repeats', type=int, default=3, help='steps of each size; default: 3')
    parser.add_argument(
        '--losses',
        metavar='CONFIG',
        help='also time the losses in a step of this configuration of 224-pixel images',
    )
    arguments = parser.parse_args(argv)
    out = Path(arguments.out)
    if not out.parent.is_dir():
        raise UserError(f'cannot write {out}.json: folder {out.parent} does not exist')
    result = benchmark_scale(arguments.config, repeats=arguments.repeats)
    if arguments.losses:
        result['losses'] = benchmark_losses(arguments.losses)
    out.with_suffix('.json').write_text(json.dumps(result, indent=2) + '\n')
    draw_scale(result).savefig(out.with_suffix('.png'), dpi=120)


if __name__ == '__main__':
    run_tool(main)
