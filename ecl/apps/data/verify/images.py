"""Inspect the image files of datasets, remembering what was seen before."""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ecl.apps.data.scan import scan_images
from ecl.datasets.image_file import ImageFacts


def image_keys(dataset: Any) -> list[str]:
    """Path of each image; for images held in memory, a sum of their pixels.

    Args:
        dataset: A dataset or wrapper with ``get_data_info``.

    Returns:
        Paths, or ``pixels:<sum>``.
    """
    return [_key(dataset.get_data_info(index)) for index in range(len(dataset))]


def _key(info: dict) -> str:
    if 'img_path' in info:
        return info['img_path']
    pixels = np.ascontiguousarray(info['img'])
    return f'pixels:{hashlib.blake2b(pixels.tobytes(), digest_size=16).hexdigest()}'


def inspect_all(
    keys: Iterable[str], memory: Path, workers: int | None = None
) -> dict[str, ImageFacts]:
    """Facts of every image, read from the files that are new or changed since the last time.

    Args:
        keys: What :func:`image_keys` returned; repetitions are read once.
        memory: File that remembers the facts, one JSON line each. It is written while the images
            are read, so an interrupted examination goes on where it was.
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
        if stamps[key] and known.get(key, (None,))[0] == stamps[key]:
            facts[key] = known[key][1]
    unread = [key for key in stamps if key not in facts]
    if unread:
        memory.parent.mkdir(parents=True, exist_ok=True)
        with memory.open('a', encoding='utf-8') as file:
            for key, found in scan_images(unread, len(unread), workers):
                facts[key] = found
                file.write(json.dumps([key, stamps[key], found]) + '\n')
    return facts


def _stamp(path: str) -> list[int] | None:
    """Size and time of the last change; None for a file that cannot be looked at."""
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
            key, stamp, (digest, fault, kind, size) = json.loads(line)
        except ValueError:  # the line that an interrupt cut
            continue
        yield key, (stamp, ImageFacts(digest, fault, kind, tuple(size)))
