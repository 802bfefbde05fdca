"""Files that are either whole or absent, and disks that are full."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

_DRAFT = '.draft'


@contextmanager
def atomic_write(path: str | Path) -> Iterator[BinaryIO]:
    """Write a file so that a crash leaves the old content or the new, never a part.

    The bytes go to a hidden neighbour, flushed to the disk, that takes the file's name when the
    block ends without an exception, and vanishes otherwise. A killed process leaves the neighbour
    behind: see :func:`remove_temporary_files`.

    Args:
        path: The file to write or replace. Its folder must exist.

    Yields:
        The open neighbour, for writing bytes.

    Example:
        >>> with atomic_write('results.json') as file:
        ...     _ = file.write(b'{}')
    """
    path = Path(path)
    draft = path.with_name(f'.{path.name}.{os.getpid()}{_DRAFT}')
    try:
        with draft.open('wb') as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        _flush_folder(path.parent)
    except OSError as error:
        if error.filename in (None, str(draft)):  # a full disk does not say what was written
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise
    finally:
        draft.unlink(missing_ok=True)


def remove_temporary_files(folder: str | Path) -> None:
    """Remove what processes that were killed while writing left behind.

    Args:
        folder: One that no process is writing into.
    """
    for draft in Path(folder).glob(f'.*{_DRAFT}'):
        draft.unlink(missing_ok=True)


@contextmanager
def warn_on_write_error(logger: logging.Logger, what: str) -> Iterator[None]:
    """Turn a full disk, or one that fails otherwise, into a warning.

    Args:
        logger: Where the warning goes.
        what: What is written in the block.
    """
    try:
        yield
    except OSError as error:
        logger.warning(f'{what} could not be written ({error}): the training goes on without')


def _flush_folder(folder: Path) -> None:
    """Make the new name of a file last."""
    if not hasattr(os, 'O_DIRECTORY'):  # Windows
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
