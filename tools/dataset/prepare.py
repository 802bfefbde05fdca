"""Make data ready for training.

python tools/dataset/prepare.py folder PATH --out data/mine
python tools/dataset/prepare.py imagenet-lt PATH --lists PATH
"""

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence

from ecl.apps.cli import run_tool
from ecl.apps.data.prepare import prepare_folder, prepare_public, print_summary
from ecl.apps.data.prepare.public import BENCHMARKS
from ecl.errors import UserError


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the command line and prepare."""
    parser = ArgumentParser(description='Make data ready for training.')
    commands = parser.add_subparsers(dest='command', required=True)
    folder = commands.add_parser('folder', help='your own images, one folder for each class')
    folder.add_argument('source', help='folder laid out as <class>/<image>')
    folder.add_argument('--out', required=True, help='folder to create for lists and config')
    for split, default in (('test', 'a third of the smallest class'), ('val', 'none')):
        size = folder.add_mutually_exclusive_group()
        size.add_argument(
            f'--{split}-per-class',
            type=int,
            metavar='N',
            help=f'{split} images of each class (default: {default})',
        )
        size.add_argument(
            f'--{split}-fraction',
            type=float,
            metavar='F',
            help=f'{split} images as a fraction of each class, below 1',
        )
    folder.add_argument('--seed', type=int, default=0, help='seed of the division')
    folder.add_argument('--base', metavar='CONFIG', help='configuration to build on')
    folder.add_argument('--workers', type=int, metavar='N', help='threads that read images')
    for name in BENCHMARKS:
        public = commands.add_parser(name, help=f'links from a download of {name}')
        public.add_argument('images', help='folder of the unpacked images')
        public.add_argument('--lists', help='folder of the split lists')
        public.add_argument('--root', default='data', help='folder of the data')
    _run(parser.parse_args(argv))


def _run(args: Namespace) -> None:
    if args.command == 'folder':
        prepared = prepare_folder(
            args.source,
            args.out,
            test=_share(args, 'test'),
            val=_share(args, 'val') or 0,
            seed=args.seed,
            base=args.base,
            workers=args.workers,
        )
        print_summary(prepared)
    else:
        print(*prepare_public(args.command, args.images, args.lists, args.root), sep='\n')


def _share(args: Namespace, split: str) -> int | float | None:
    number, fraction = getattr(args, f'{split}_per_class'), getattr(args, f'{split}_fraction')
    if number is not None and number < (split == 'test'):
        raise UserError(f'--{split}-per-class must be at least {int(split == "test")}')
    if fraction is not None and not 0 < fraction < 1:
        raise UserError(f'--{split}-fraction must lie between 0 and 1, not {fraction:g}')
    return number if number is not None else fraction


if __name__ == '__main__':
    run_tool(main)
