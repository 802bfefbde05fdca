"""Write files atomically: a file is complete or absent."""

import errno
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from ecl.errors import UserError

_TEMPORARY = '.tmp'
#: Errors of file systems that flush files, but not folders.
_CANNOT_FLUSH_FOLDERS = (errno.EINVAL, errno.EBADF, errno.ENOTSUP, errno.ENOSYS)


@contextmanager
def atomic_write(path: str | Path) -> Iterator[BinaryIO]:
    """Write a file so that a crash leaves the old content or the new content.

    The bytes go to a hidden temporary file beside it and are flushed to the disk. At the end of
    the block the temporary file is renamed; after an exception it is removed. A killed process
    leaves it behind: see :func:`remove_temporary_files`.

    Args:
        path: The file to write or replace. Its folder must exist.

    Yields:
        The open temporary file, for bytes.

    Example:
        >>> with atomic_write('results.json') as file:
        ...     _ = file.write(b'{}')
    """
    path = Path(path)
    temporary = path.with_name(f'.{path.name}.{os.getpid()}{_TEMPORARY}')
    try:
        with temporary.open('wb') as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _flush_folder(path.parent)
    except OSError as error:
        if error.filename in (None, str(temporary)):  # the error of a full disk names no file
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write a text atomically, as UTF-8."""
    with atomic_write(path) as file:
        file.write(text.encode())


def check_folder(path: str | Path) -> None:
    """Check that the folder of an output file exists, before the long work.

    Raises:
        UserError: If it does not exist.
    """
    if not Path(path).parent.is_dir():
        raise UserError(f'cannot write {path}: folder {Path(path).parent} does not exist')


def relative_path(path: str | Path, start: str | Path = os.curdir) -> str:
    """Return a path relative to a folder, or the absolute path if there is no relative path.

    On Windows no relative path leads from one drive to another.

    Args:
        path: A file or folder.
        start: The folder; by default the current one.
    """
    try:
        return os.path.relpath(path, start)
    except ValueError:
        return os.path.abspath(path)


def remove_temporary_files(folder: str | Path) -> None:
    """Remove the temporary files that killed processes left.

    Args:
        folder: A folder that no process is writing into.
    """
    for temporary in Path(folder).glob(f'.*{_TEMPORARY}'):
        temporary.unlink(missing_ok=True)


@contextmanager
def warn_on_write_error(logger: logging.Logger, what: str) -> Iterator[None]:
    """Log a warning if the block cannot write, such as on a full disk.

    Args:
        logger: Receives the warning.
        what: What the block writes.
    """
    try:
        yield
    except OSError as error:
        logger.warning(f'{what} could not be written ({error}). The training continues.')


def _flush_folder(folder: Path) -> None:
    """Flush a folder, so that the new name of a file is on the disk."""
    if not hasattr(os, 'O_DIRECTORY'):  # Windows
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _CANNOT_FLUSH_FOLDERS:
            raise
    finally:
        os.close(descriptor)
