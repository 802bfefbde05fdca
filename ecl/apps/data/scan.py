"""Inspect many image files in threads, and cache the results."""

import hashlib
import json
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from PIL import Image
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ecl.datasets.image_file import ImageFacts, inspect_image
from ecl.errors import UserError

Result = TypeVar('Result')


def scan_images(paths: Sequence[str], workers: int | None = None) -> Iterator[ImageFacts]:
    """Inspect image files in parallel, with a progress bar.

    Decoding releases the global interpreter lock, so threads are enough.

    Args:
        paths: The files.
        workers: Threads. Defaults to the number of cores, at most 16.

    Yields:
        The results of :func:`~ecl.datasets.image_file.inspect_image`, in the order of the files.
    """
    with warnings.catch_warnings():
        # Warnings are reported as a fault of the file. Filters are shared by all threads.
        warnings.simplefilter('ignore', Image.DecompressionBombWarning)
        yield from map_files(inspect_image, paths, 'reading images', workers)


def map_files(
    function: Callable[[str], Result],
    paths: Sequence[str],
    what: str,
    workers: int | None = None,
) -> Iterator[Result]:
    """Apply a function to files in threads, with a progress bar.

    Args:
        function: Function of a path that runs mostly without the global interpreter lock.
        paths: The files.
        what: Description, for the bar.
        workers: Threads. Defaults to the number of cores, at most 16.

    Yields:
        The results, in the order of the files.
    """
    if workers is not None and workers < 1:
        raise UserError(f'--workers must be at least 1, not {workers}')
    workers = workers or min(16, os.cpu_count() or 1)
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with (
        Progress(*columns, console=Console(stderr=True), transient=True) as progress,
        ThreadPoolExecutor(workers) as pool,
    ):
        task = progress.add_task('', total=len(paths))
        # In parts, because submitting a million files together takes much memory.
        for start in range(0, len(paths), 32 * workers):
            batch = paths[start : start + 32 * workers]
            yield from pool.map(function, batch)
            progress.advance(task, len(batch))


def image_keys(dataset: Any) -> list[str]:
    """Return the path of each image; for images in memory, a checksum of their pixels.

    Args:
        dataset: A dataset or wrapper with ``get_data_info``.

    Returns:
        Paths, or ``pixels:<sum>``. Empty if the dataset has neither ``img_path`` nor ``img`` of an
        image, for example because the pipeline reads from an archive.
    """
    keys = [_key(dataset.get_data_info(index)) for index in range(len(dataset))]
    return keys if all(keys) else []


def _key(info: dict) -> str:
    if 'img_path' in info:
        return info['img_path']
    if 'img' not in info:
        return ''
    pixels = np.ascontiguousarray(info['img'])
    return f'pixels:{hashlib.blake2b(pixels.tobytes(), digest_size=16).hexdigest()}'


def inspect_all(
    keys: Iterable[str], memory: Path, workers: int | None = None
) -> dict[str, ImageFacts]:
    """Return facts of every image; only files that are new or changed are read.

    Args:
        keys: What :func:`image_keys` returned; repetitions are read once.
        memory: Cache file with one JSON line per image. It is written while the images are read, so
            an interrupted check continues where it stopped.
        workers: Threads that read images.

    Returns:
        Key -> facts.
    """
    facts = {}
    stamps = {}
    known = dict(_remembered(memory))
    for key in dict.fromkeys(keys):
        if key.startswith('pixels:'):
            facts[key] = ImageFacts(digest=key)
            continue
        stamps[key] = _stamp(key)
        stamp, remembered = known.get(key, (None, None))
        # A fault may disappear without a change of the file, such as after the installation of a
        # package.
        if remembered and not remembered.fault and stamp == stamps[key]:
            facts[key] = remembered
    unread = [key for key in stamps if key not in facts]
    if unread:
        memory.parent.mkdir(parents=True, exist_ok=True)
        with memory.open('a', encoding='utf-8') as file:
            for key, found in zip(unread, scan_images(unread, workers), strict=True):
                facts[key] = found
                file.write(json.dumps([key, stamps[key], found]) + '\n')
    return facts


def _stamp(path: str) -> list[int] | None:
    """Return size and modification time of a file; None if unknown."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return [status.st_size, status.st_mtime_ns]


def _remembered(memory: Path) -> Iterator[tuple[str, tuple[list[int], ImageFacts]]]:
    if not memory.is_file():
        return
    for line in memory.read_text('utf-8').splitlines():
        try:
            key, stamp, (digest, fault, kind, size, look) = json.loads(line)
        except ValueError:  # a line that an interrupt cut short
            continue
        yield key, (stamp, ImageFacts(digest, fault, kind, tuple(size), look))
