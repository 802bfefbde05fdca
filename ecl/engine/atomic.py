"""Files that are either whole or absent."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def atomic_write(path: str | Path) -> Iterator[BinaryIO]:
    """Write a file so that a crash leaves the old content or the new, never a part.

    The bytes go to a hidden neighbour that takes the file's name when the block ends without an
    exception, and vanishes otherwise.

    Args:
        path: The file to write or replace. Its folder must exist.

    Yields:
        The open neighbour, for writing bytes.

    Example:
        >>> with atomic_write('results.json') as file:
        ...     _ = file.write(b'{}')
    """
    path = Path(path)
    draft = path.with_name(f'.{path.name}.{os.getpid()}.tmp')
    try:
        with draft.open('wb') as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
