"""What the command-line tools share."""

import errno
import sys
from argparse import ArgumentError, ArgumentParser, Namespace
from collections.abc import Callable, Sequence
from typing import Any

from mmengine.config import DictAction

from ecl.apis.launch import LAUNCHERS
from ecl.errors import UserError


def run_tool(main: Callable[[], None]) -> None:
    """Run a tool: a UserError or a full disk becomes one line and status 2, Ctrl-C exits with 130.

    Args:
        main: The tool.
    """
    try:
        main()
    except UserError as error:
        # A data loader's worker puts its traceback before the message.
        line = str(error).strip().splitlines()[-1]
        print(f'error: {line.removeprefix("ecl.errors.UserError: ")}', file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        where = f' for {error.filename}' if error.filename else ''
        print(f'error: no space left on the disk{where}', file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


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
