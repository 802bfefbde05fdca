"""Commands that train several methods and compare trainings."""

import signal
from argparse import ArgumentParser
from collections.abc import Sequence
from types import FrameType

from ecl.apis import trust_checkpoints
from ecl.apps import report as pages
from ecl.apps import review as reviews
from ecl.apps.cli import add_cfg_options, add_trust_argument
from ecl.apps.experiments import balance as balances
from ecl.apps.experiments import compare as comparisons
from ecl.apps.experiments import matrix as matrices
from ecl.apps.experiments import prediction_share as shares
from ecl.engine.resume.processes import SIGNALS, handle_signals
from ecl.evaluation.metrics import STRENGTHS


def matrix(argv: Sequence[str] | None = None) -> None:
    """Train configurations with several seeds."""
    parser = ArgumentParser(
        description='Train configurations with several seeds and write one table. A second call '
        'continues where the first was interrupted.'
    )
    parser.add_argument('path', metavar='MATRIX', help='YAML or JSON file: title, seeds, rows')
    parser.add_argument('--config', help='configuration of the rows that name none')
    parser.add_argument('--work-dir', help='folder of the trainings; default: work_dirs/MATRIX')
    parser.add_argument(
        '--out', metavar='NAME', help='NAME.md, NAME.json and NAME.png; default: in the work dir'
    )
    parser.add_argument('--jobs', type=int, default=1, help='number of parallel trainings')
    parser.add_argument(
        '--together',
        action='store_true',
        help='run the parallel trainings in one process, one step each in turn, on one GPU',
    )
    parser.add_argument(
        '--minutes',
        type=float,
        help='time limit; trainings that do not fit are left for a later call',
    )
    add_cfg_options(parser)
    handle_signals(_interrupt_once)
    matrices.run_matrix(**vars(parser.parse_args(argv)))


def _interrupt_once(number: int, frame: FrameType | None) -> None:
    """Raise KeyboardInterrupt once, so that the trainings are saved; launchers signal twice."""
    for stopping in SIGNALS:
        signal.signal(stopping, signal.SIG_IGN)
    raise KeyboardInterrupt


def compare(argv: Sequence[str] | None = None) -> None:
    """Compare trainings."""
    parser = ArgumentParser(
        description='Compare trainings with the first one, and test the differences.'
    )
    parser.add_argument(
        'paths',
        nargs='+',
        metavar='RUN',
        help='a work dir, a folder of them (seeds of one method), results.json, or table.json of '
        'a matrix',
    )
    parser.add_argument('--out', metavar='NAME', help='write NAME.md, NAME.json and NAME.png')
    add_trust_argument(parser)
    arguments = vars(parser.parse_intermixed_args(argv))
    with trust_checkpoints(arguments.pop('trust_checkpoint')):
        comparisons.compare(**arguments)


def balance(argv: Sequence[str] | None = None) -> None:
    """Compare methods at equal balance."""
    parser = ArgumentParser(
        description='Draw overall over few-shot accuracy for several strengths of logit '
        'adjustment. The method with the higher curve is better at the same balance.'
    )
    parser.add_argument(
        'paths', nargs='+', metavar='RUN', help='a work dir, or a folder of them (seeds)'
    )
    parser.add_argument(
        '--out', metavar='NAME', required=True, help='NAME.json, NAME.md and NAME.png'
    )
    parser.add_argument(
        '--strengths', nargs='+', type=float, default=STRENGTHS, help='strengths of the correction'
    )
    add_cfg_options(parser)
    add_trust_argument(parser)
    arguments = vars(parser.parse_intermixed_args(argv))
    with trust_checkpoints(arguments.pop('trust_checkpoint')):
        balances.balance(**arguments)


def prediction_share(argv: Sequence[str] | None = None) -> None:
    """Draw predicted images and confidence per class."""
    parser = ArgumentParser(
        description='Predicted images and mean confidence per class, from the class with the most '
        'training images to the class with the fewest, with linear trends.'
    )
    parser.add_argument(
        'paths',
        nargs='+',
        metavar='RUN',
        help='a work dir, a folder of them (seeds), or NAME.json of an earlier call',
    )
    parser.add_argument(
        '--out', metavar='NAME', required=True, help='NAME.json, NAME.md and NAME.png'
    )
    add_cfg_options(parser)
    add_trust_argument(parser)
    arguments = vars(parser.parse_intermixed_args(argv))
    with trust_checkpoints(arguments.pop('trust_checkpoint')):
        shares.prediction_share(**arguments)


def report(argv: Sequence[str] | None = None) -> None:
    """Write a page about trainings, and print its name."""
    parser = ArgumentParser(description='Write a page about one training or several side by side.')
    parser.add_argument('work_dirs', nargs='+', metavar='WORK_DIR', help='folder of a training')
    parser.add_argument(
        '--out',
        metavar='FILE.html',
        help='default: report.html, in the work dir if there is one only',
    )
    add_trust_argument(parser)
    arguments = vars(parser.parse_intermixed_args(argv))
    with trust_checkpoints(arguments.pop('trust_checkpoint')):
        print(pages.report(**arguments))


def review(argv: Sequence[str] | None = None) -> None:
    """Review a trained model, and print the page's name."""
    parser = ArgumentParser(
        description='Write thresholds below which to abstain, the worst errors, the images whose '
        'label is likely wrong, and the classes to photograph next.'
    )
    parser.add_argument('work_dir', metavar='WORK_DIR', help='folder of a training')
    parser.add_argument(
        '--accuracy',
        type=float,
        default=0.95,
        help='share of the accepted predictions that should be right; default: 0.95',
    )
    parser.add_argument('--out', metavar='FOLDER', help='default: the work dir')
    add_trust_argument(parser)
    arguments = vars(parser.parse_args(argv))
    with trust_checkpoints(arguments.pop('trust_checkpoint')):
        print(reviews.review(**arguments))
