"""What the command-line tools share."""

import errno
import logging
import sys
from argparse import ArgumentError, ArgumentParser, Namespace
from collections.abc import Callable, Sequence
from typing import Any

from mmengine.config import DictAction

from ecl.apis.faults import out_of_memory
from ecl.apis.launch import LAUNCHERS
from ecl.errors import UserError

#: What the system refuses for reasons that lie with a disk, a folder or its owner.
_REFUSALS = {
    errno.ENOSPC: 'no space left on the disk',
    errno.EDQUOT: 'no space left on the disk',
    errno.EROFS: 'the disk cannot be written to',
    errno.EACCES: 'no permission',
    errno.EPERM: 'no permission',
    errno.EEXIST: 'a file is there already',
    errno.ENOTDIR: 'a part of the path is a file',
    errno.EISDIR: 'a folder is where a file should be',
    errno.EIO: 'the disk cannot be read or written',
}


def run_tool(main: Callable[[], None]) -> None:
    """Run a tool: Ctrl-C exits with 130, and what the user can put right is one line and status 2.

    That is a UserError, memory that ran out, and a disk that is full or refuses otherwise.

    Args:
        main: The tool.
    """
    # A log file on a full disk: its lines are on the console too, without a traceback for each.
    logging.raiseExceptions = False
    try:
        main()
    except UserError as error:
        # A data loader's worker puts its traceback before the message.
        line = str(error).strip().splitlines()[-1]
        _fail(line.removeprefix('ecl.errors.UserError: '))
    except OSError as error:
        if error.errno not in _REFUSALS:
            raise
        where = f' for {error.filename}' if error.filename else ''
        _fail(f'{_REFUSALS[error.errno]}{where}')
    except (RuntimeError, MemoryError) as error:
        fault = out_of_memory(error)
        if fault is None:
            raise
        _fail(fault)
    except KeyboardInterrupt:
        sys.exit(130)


def _fail(message: str) -> None:
    print(f'error: {message}', file=sys.stderr)
    sys.exit(2)


class OptionAction(DictAction):
    """``KEY=VALUE`` words as a dict; a word without ``=`` is a usage error."""

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
    """Add ``--cfg-options``.

    Args:
        parser: The parser of the tool.
    """
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=OptionAction,
        metavar='KEY=VALUE',
        help='replace values of the configuration, such as train_dataloader.batch_size=32',
    )


def add_common_arguments(parser: ArgumentParser) -> None:
    """Add the options that every tool with a configuration has.

    Args:
        parser: The parser of the tool.
    """
    parser.add_argument('--work-dir', help='folder of the results; default: work_dirs/CONFIG')
    add_cfg_options(parser)
    add_trust_argument(parser)
    parser.add_argument('--launcher', choices=LAUNCHERS, default='none', help='set by dist_*.sh')


def add_trust_argument(parser: ArgumentParser) -> None:
    """Add ``--trust-checkpoint``; hand it to :func:`~ecl.checkpoint_file.trust_checkpoints`.

    Args:
        parser: The parser of a tool that opens checkpoints.
    """
    parser.add_argument(
        '--trust-checkpoint',
        action='store_true',
        help='import the modules that a checkpoint names, and open it even if it holds more than '
        'tensors and plain data; either can run anything',
    )
