"""Lock a work dir, so that one process at a time trains in it."""

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from ecl.errors import UserError

LOCK = '.lock'
#: Names the process that holds the lock.
OWNER = '.lock_owner'


@contextmanager
def alone_in(folder: str | Path) -> Iterator[None]:
    """Keep other processes out of a work dir.

    The lock ends with the process and its data workers, however they end.

    Args:
        folder: The work dir. It is made if it does not exist.

    Raises:
        UserError: If another process holds the lock, with its number.
    """
    Path(folder).mkdir(parents=True, exist_ok=True)
    owner = Path(folder, OWNER)
    lock = FileLock(Path(folder, LOCK))
    try:
        lock.acquire(blocking=False)
    except Timeout:
        named = owner.read_text() if owner.is_file() else ''
        raise UserError(
            f'another process is training in {folder}: {named.strip() or "unnamed"}. Wait for it, '
            'end it, or choose another --work-dir.'
        ) from None
    try:
        owner.write_text(f'process {os.getpid()} on {platform.node()}\n')
        yield
    finally:
        lock.release()
