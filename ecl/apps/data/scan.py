"""Read many image files at once, with a progress bar."""

import os
import warnings
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

from PIL import Image
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ecl.datasets.image_file import ImageFacts, inspect_image


def scan_images(
    paths: Iterable[str], total: int, workers: int | None = None
) -> Iterator[tuple[str, ImageFacts]]:
    """Inspect image files in parallel and show how far it is.

    Decoding leaves Python's lock, so threads are enough, and an interrupt ends them at once.

    Args:
        paths: The files.
        total: Their number, for the bar.
        workers: Threads. Defaults to the number of cores, at most 16.

    Yields:
        Each path with what :func:`~ecl.datasets.image_file.inspect_image` found, in the order
        given.
    """
    workers = workers or min(16, os.cpu_count() or 1)
    columns = (
        TextColumn('reading images'),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    remaining = iter(paths)
    with (
        warnings.catch_warnings(),
        Progress(*columns, console=Console(stderr=True), transient=True) as progress,
        ThreadPoolExecutor(workers) as pool,
    ):
        # Reported as a fault of the file. Set here: filters are common to all threads.
        warnings.simplefilter('ignore', Image.DecompressionBombWarning)
        task = progress.add_task('', total=total)
        # In pieces: submitting a million files at once would take as much memory as the images.
        while batch := list(islice(remaining, 32 * workers)):
            yield from zip(batch, pool.map(inspect_image, batch), strict=True)
            progress.advance(task, len(batch))
