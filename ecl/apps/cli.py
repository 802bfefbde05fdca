"""The command ``ecl``, and common options and error messages of all commands."""

import errno
import logging
import os
import sys
from argparse import ArgumentError, ArgumentParser, Namespace
from collections.abc import Callable, Sequence
from importlib import import_module
from io import TextIOWrapper
from typing import Any

from mmengine.config import DictAction
from mmengine.dist import is_distributed

import ecl
from ecl.apis.config_check import nearest
from ecl.apis.faults import out_of_memory
from ecl.apis.launch import LAUNCHERS
from ecl.errors import UserError

#: Commands by name: module, function, and the line of ``ecl --help``.
COMMANDS = {
    'train': ('model', 'train', 'train a model'),
    'test': ('model', 'test', 'evaluate a checkpoint'),
    'predict': ('model', 'predict', 'predict images and folders of images'),
    'demo': ('model', 'demo', 'try a model in the browser'),
    'report': ('experiments', 'report', 'write a page about trainings'),
    'review': ('experiments', 'review', 'find thresholds, worst errors and likely wrong labels'),
    'export': ('model', 'export', 'write a model as ONNX or as a torch.export program'),
    'publish': ('model', 'publish', 'write a checkpoint without the training state'),
    'prepare': ('data', 'prepare', 'prepare your images, or a public benchmark'),
    'check': ('data', 'check', 'verify the data of a configuration'),
    'browse': ('data', 'browse', 'draw images as the network gets them'),
    'distribution': ('data', 'distribution', 'draw the class sizes'),
    'matrix': ('experiments', 'matrix', 'train configurations with several seeds'),
    'compare': ('experiments', 'compare', 'compare trainings, with significance tests'),
    'balance': ('experiments', 'balance', 'compare methods at equal balance'),
    'share': ('experiments', 'prediction_share', 'draw predictions and confidence per class'),
    'list': ('model', 'list_configs', 'list the configurations and their results'),
    'config': ('model', 'print_config', 'print a whole configuration'),
    'completion': ('model', 'completion', 'print the completion script for bash and zsh'),
}
#: Optional packages, and the extra that installs them.
EXTRAS = {
    'cleanlab': 'review',
    'pillow_heif': 'heic',
    'timm': 'pretrained',
    'gradio': 'demo',
    'captum': 'demo',
    'onnx': 'export',
    'onnxscript': 'export',
    'onnxruntime': 'export',
}
#: System errors of a disk, a folder or its owner.
_REFUSALS = {
    errno.ENOSPC: 'no space left on the disk',
    errno.EDQUOT: 'no space left on the disk',
    errno.EROFS: 'the disk cannot be written to',
    errno.EACCES: 'no permission',
    errno.EPERM: 'no permission',
    errno.EEXIST: 'the file already exists',
    errno.ENOTDIR: 'a part of the path is a file',
    errno.EISDIR: 'found a folder, expected a file',
    errno.EIO: 'the disk cannot be read or written',
}


def _stdout_is_closed() -> bool:
    """Return whether the reader of the output, such as head, has ended."""
    try:
        print(flush=True)
    except BrokenPipeError:
        return True
    return False


def run_tool(main: Callable[[], None]) -> None:
    """Run a command line; an error that the user can correct is one line and status 2.

    Such an error is a UserError, a missing optional package, memory that ran out, or a full or
    read-only disk. Ctrl-C exits with status 130, a closed pipe with 141.

    Args:
        main: Parses the command line and runs.
    """
    if isinstance(sys.stdout, TextIOWrapper):  # for names that the terminal's encoding lacks
        sys.stdout.reconfigure(errors='backslashreplace')
    # No traceback if the disk is full and a line cannot be written to the log file.
    logging.raiseExceptions = False
    try:
        main()
        sys.stdout.flush()
    except BrokenPipeError:
        if not _stdout_is_closed():
            raise
        # At the exit of the process, Python would write the rest again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except UserError as error:
        # A worker of a data loader adds its traceback before the message.
        line = str(error).strip().splitlines()[-1]
        _fail(line.removeprefix('ecl.errors.UserError: '))
    except OSError as error:
        if error.errno not in _REFUSALS:
            raise
        where = f': {error.filename}' if error.filename else ''
        _fail(f'{_REFUSALS[error.errno]}{where}')
    except ModuleNotFoundError as error:
        if error.name not in EXTRAS:
            raise
        extra = EXTRAS[error.name]
        _fail(f"{error.name} is not installed: pip install 'ecl-longtail[{extra}]'")
    except (RuntimeError, MemoryError) as error:
        fault = out_of_memory(error)
        if fault is None:
            raise
        _fail(fault)
    except KeyboardInterrupt:
        sys.exit(130)


def main() -> None:
    """Run the command ``ecl``: its first argument names the command, the others belong to it."""
    name, *rest = sys.argv[1:] or ['--help']
    if name == '--version':
        print(ecl.__version__)
    elif name in ('-h', '--help'):
        lines = [f'  {command:<13} {about}' for command, (*_, about) in COMMANDS.items()]
        print('usage: ecl COMMAND [ARGUMENTS]\n       ecl COMMAND --help\n', *lines, sep='\n')
    elif name in COMMANDS:
        sys.argv = [f'ecl {name}', *rest]  # for the usage message
        module, function, _ = COMMANDS[name]
        # Imported here, because a command needs only a part of the package.
        run_tool(lambda: getattr(import_module(f'ecl.apps.commands.{module}'), function)())
    else:
        _fail(f'there is no command {name!r}{nearest(name, COMMANDS)}')


def _fail(message: str) -> None:
    print(f'error: {message}', file=sys.stderr, flush=True)
    if is_distributed():
        # At the end of the interpreter, threads that wait for a lost process would abort it.
        sys.stdout.flush()
        os._exit(2)
    sys.exit(2)


class OptionAction(DictAction):
    """Parse ``KEY=VALUE`` words into a dict; a word without ``=`` is a usage error."""

    def __call__(
        self,
        parser: ArgumentParser,
        namespace: Namespace,
        values: Sequence[Any],
        option_string: str | None = None,
    ) -> None:
        """Parse the words that follow the option."""
        try:
            super().__call__(parser, namespace, values, option_string)
        except (ValueError, AssertionError) as error:
            raise ArgumentError(self, f'{" ".join(values)} is not of the form KEY=VALUE') from error


def add_cfg_options(parser: ArgumentParser) -> None:
    """Add ``--cfg-options``."""
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=OptionAction,
        metavar='KEY=VALUE',
        help='replace values of the configuration, such as train_dataloader.batch_size=32',
    )


def add_common_arguments(parser: ArgumentParser) -> None:
    """Add the options that every tool with a configuration has."""
    parser.add_argument('--work-dir', help='folder of the results; default: work_dirs/CONFIG')
    add_cfg_options(parser)
    add_trust_argument(parser)
    parser.add_argument('--verbose', action='store_true', help='print the full log')
    parser.add_argument(
        '--launcher', choices=LAUNCHERS, default='none', help='set by the scripts dist_*.sh'
    )


def add_trust_argument(parser: ArgumentParser) -> None:
    """Add ``--trust-checkpoint``, for :func:`~ecl.checkpoint_file.trust_checkpoints`."""
    parser.add_argument(
        '--trust-checkpoint',
        action='store_true',
        help='import the modules that a checkpoint names, and open it even if it holds more than '
        'tensors and plain data; either can run anything',
    )
