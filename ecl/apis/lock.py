"""One training at a time in a folder."""

import fcntl
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ecl.errors import UserError

LOCK = '.lock'


@contextmanager
def alone_in(folder: str | Path) -> Iterator[None]:
    """Keep every other process out of a work dir.

    The lock ends with the process, however it ends, and its data-loading workers do not hold it.

    Args:
        folder: The work dir; made if it does not exist.

    Raises:
        UserError: If another process is in there, naming it.
    """
    Path(folder).mkdir(parents=True, exist_ok=True)
    with Path(folder, LOCK).open('a+') as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            file.seek(0)
            raise UserError(
                f'another process is training in {folder}: {file.read().strip() or "unnamed"}; '
                'wait for it, end it, or choose another --work-dir'
            ) from None
        file.truncate(0)
        file.write(f'process {os.getpid()} on {platform.node()}\n')
        file.flush()
        yield
