"""Commands that prepare, check or draw data."""

import json
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from dataclasses import asdict

from ecl.apps.cli import add_cfg_options
from ecl.apps.data import browse as pictures
from ecl.apps.data import class_folders, prepare_folder, prepare_public, resize, summary, verify
from ecl.datasets.image_csv import COLUMNS
from ecl.errors import UserError


def prepare(argv: Sequence[str] | None = None) -> None:
    """Prepare a folder of images, or a public benchmark."""
    parser = ArgumentParser(description='Make data ready for training.')
    commands = parser.add_subparsers(dest='command', metavar='COMMAND', required=True)
    folder = commands.add_parser('folder', help='your own images, one folder for each class')
    folder.add_argument('source', help='folder of <class>/<image> or <split>/<class>/<image>')
    table = commands.add_parser('csv', help='your own images, named in a CSV file')
    table.add_argument('source', help='CSV file with columns of image, class and perhaps split')
    table.add_argument('--images', metavar='FOLDER', help='folder of the images (default: its own)')
    table.add_argument('--suffix', default='', help='suffix to append to each image, such as .jpg')
    for column in ('image', 'label', 'split'):
        table.add_argument(
            f'--{column}-column', metavar='NAME', help='name of this column, if not recognized'
        )
    table.add_argument(
        '--group-column',
        metavar='NAME',
        help='column of groups, such as patients; a group stays in one split',
    )
    for parser_of_own in (folder, table):
        _add_division(parser_of_own)
    for name in prepare_public.BENCHMARKS:
        public = commands.add_parser(name, help=f'links from a download of {name}')
        public.add_argument('images', help='folder of the unpacked images')
        public.add_argument('--lists', help='folder of the split lists')
        public.add_argument('--root', default='data', help='folder of the data')
    folders = commands.add_parser(
        'cifar100-folders', help='CIFAR-100 as PNG files in class folders, from its archive'
    )
    folders.add_argument('images', help='folder of the unpacked archive')
    folders.add_argument('--root', default='data', help='folder of the data')
    smaller = commands.add_parser(
        'resize', help='copies of images at a smaller size, for faster reading'
    )
    smaller.add_argument('source', help='folder of images, at any depth')
    smaller.add_argument('--out', required=True, help='folder of the copies')
    smaller.add_argument(
        '--short-side', type=int, default=320, metavar='N', help='pixels (default: 320)'
    )
    smaller.add_argument('--lists', help='folder of lists: copy only the images in these lists')
    smaller.add_argument('--workers', type=int, metavar='N', help='threads')
    arguments = parser.parse_args(argv)
    if arguments.command == 'resize':
        del arguments.command
        written, existed = resize.resize_images(**vars(arguments))
        print(f'{written} copies in {arguments.out}; {existed} already existed')
    elif arguments.command == 'cifar100-folders':
        print(*class_folders.write_class_folders(arguments.images, arguments.root), sep='\n')
    elif arguments.command in ('folder', 'csv'):
        options = dict(
            test=_share(arguments, 'test'),
            val=_share(arguments, 'val') or 0,
            seed=arguments.seed,
            group_by=arguments.group_by,
            base=arguments.base,
            workers=arguments.workers,
            network=arguments.network,
            pretrained=arguments.pretrained,
            experts=arguments.experts,
            untested_below=arguments.untested_below,
            keep=arguments.keep,
        )
        source, out = arguments.source, arguments.out
        if arguments.command == 'folder':
            prepared = prepare_folder.prepare_folder(source, out, **options)
        else:
            columns = {kind: getattr(arguments, f'{kind}_column') for kind in COLUMNS}
            prepared = prepare_folder.prepare_csv(
                source, out, arguments.images, arguments.suffix, columns, **options
            )
        summary.print_summary(prepared)
    else:
        linked = prepare_public.prepare_public(
            arguments.command, arguments.images, arguments.lists, arguments.root
        )
        print(*linked, sep='\n')


def _add_division(parser: ArgumentParser) -> None:
    parser.add_argument('--out', required=True, help='folder to create for lists and config')
    for split, default in (('test', 'a third of the smallest class'), ('val', 'none')):
        size = parser.add_mutually_exclusive_group()
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
    parser.add_argument(
        '--untested-below',
        type=int,
        default=0,
        metavar='N',
        help='classes with fewer than N images are for training only',
    )
    parser.add_argument(
        '--keep',
        metavar='FOLDER',
        help='keep the test and validation images of this earlier --out; use all others for '
        'training',
    )
    parser.add_argument('--seed', type=int, default=0, help='seed of the random split')
    parser.add_argument(
        '--group-by',
        metavar='N|PATTERN',
        help='keep groups of images, such as those of a shop, in one split; the group is the N-th '
        'folder of the path, or the match of a regular expression',
    )
    parser.add_argument(
        '--network',
        metavar='NAME',
        help='network for photographs, by its name in timm or MMPretrain; default: '
        'EfficientNet-Lite0, from the extra [pretrained]',
    )
    parser.add_argument(
        '--pretrained',
        metavar='FILE',
        help='checkpoint to start from (file or URL); default: published weights of the network',
    )
    parser.add_argument(
        '--experts',
        type=int,
        metavar='K',
        help='number of experts; default: 1 for photographs, 3 for small images',
    )
    parser.add_argument('--base', metavar='CONFIG', help='configuration to build on')
    parser.add_argument('--workers', type=int, metavar='N', help='threads that read images')


def _share(arguments: Namespace, split: str) -> int | float | None:
    number = getattr(arguments, f'{split}_per_class')
    fraction = getattr(arguments, f'{split}_fraction')
    if number is not None and number < (split == 'test'):
        raise UserError(f'--{split}-per-class must be at least {int(split == "test")}')
    if fraction is not None and not 0 < fraction < 1:
        raise UserError(f'--{split}-fraction must be between 0 and 1, not {fraction:g}')
    return number if number is not None else fraction


def check(argv: Sequence[str] | None = None) -> None:
    """Verify the data of a configuration; exit with 1 if there is a fault."""
    parser = ArgumentParser(description='Examine the data of a configuration before training.')
    parser.add_argument('config', help='configuration file, or name')
    parser.add_argument('--json', action='store_true', help='print the whole report as JSON')
    parser.add_argument('--workers', type=int, metavar='N', help='threads that read images')
    parser.add_argument(
        '--work-dir', help='work dir of the training; stores the results of the check'
    )
    add_cfg_options(parser)
    parser.add_argument(
        '--accept',
        nargs='+',
        choices=verify.KINDS,
        default=(),
        metavar='KIND',
        help=f'kinds of fault to report only as notes: {", ".join(verify.KINDS)}',
    )
    args = parser.parse_args(argv)
    report = verify.check_data(
        args.config, args.work_dir, args.workers, args.cfg_options, args.accept
    )
    if args.json:
        print(json.dumps(asdict(report) | {'sound': report.sound}, indent=2))
    else:
        verify.print_report(report)
    sys.exit(0 if report.sound else 1)


def browse(argv: Sequence[str] | None = None) -> None:
    """Draw a sheet of images as the network gets them."""
    parser = ArgumentParser(description='Draw images as the pipeline gives them, by class.')
    parser.add_argument('config', help='configuration file, or name')
    parser.add_argument(
        '--out', metavar='FILE', help='.png, .pdf or .svg; default: in the work dir'
    )
    parser.add_argument(
        '--split', choices=('train', 'val', 'test'), default='train', help='which data'
    )
    parser.add_argument('--num-classes', type=int, default=8, metavar='N', help='classes: rows')
    parser.add_argument('--num-images', type=int, default=4, metavar='N', help='images in a row')
    parser.add_argument('--seed', type=int, default=0, help='seed of the augmentations')
    add_cfg_options(parser)
    print(pictures.browse(**vars(parser.parse_args(argv))))


def distribution(argv: Sequence[str] | None = None) -> None:
    """Draw the class sizes of training and test data."""
    parser = ArgumentParser(description='Draw the class sizes, coloured by shot group.')
    parser.add_argument('config', help='configuration file, or name')
    parser.add_argument(
        '--out', metavar='FILE', help='.png, .pdf or .svg; default: in the work dir'
    )
    add_cfg_options(parser)
    print(pictures.distribution(**vars(parser.parse_args(argv))))
