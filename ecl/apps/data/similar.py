"""Find test images that look like a training image, by perceptual hash."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

#: Number of images in one comparison with all others.
_CHUNK = 256


class Pair(NamedTuple):
    """Two similar images, and the number of different bits of their hashes."""

    held_out: str
    trained: str
    distance: int


def similar_distance(pairs: int) -> int:
    """Return the number of different bits up to which two images of a data set count as similar.

    It falls with the number of pairs, so that only a few images are similar by chance. Half the
    bits of a hash are set; one pair of random hashes is expected within 10 bits among 4.4e7 pairs,
    within 8 among 1.4e9, within 6 among 7.4e10 (computed; a simulation of 1.6e8 pairs agrees).
    Photographs are closer: among 6.6e6 pairs from different shops (Grocery Store Dataset, 2,485
    test and 2,640 training images) 3 are within 10 bits, 20 times as many, and none within 8. At 20
    times the rate of random hashes, 3 of the 24,426 test images of iNaturalist are similar by
    chance (10.7e9 pairs, 6 bits).

    Args:
        pairs: Test and validation images times training images.

    Returns:
        10 up to 10**7 pairs, 8 up to 10**8, else 6.
    """
    return 10 if pairs <= 10**7 else 8 if pairs <= 10**8 else 6


def similar_images(held_out: Mapping[str, str], trained: Mapping[str, str]) -> list[Pair]:
    """Find images that look like an image of another set.

    A perceptual hash stays nearly the same when an image is resized, compressed again or slightly
    changed, as in a burst of photographs. Hashes of similar images differ by
    :func:`similar_distance` bits at most.

    Args:
        held_out: Test and validation images -> hash, 16 hexadecimal digits; see
            :class:`~ecl.datasets.image_file.ImageFacts`.
        trained: Training images -> hash. Images without a hash are left out.

    Returns:
        Each image with the most similar training image, the most similar pairs first.

    Example:
        >>> similar_images({'a.png': '00ff00ff00ff00ff'}, {'b.png': '00ff00ff00ff00fe'})
        [Pair(held_out='a.png', trained='b.png', distance=1)]
    """
    first, second = (
        {path: int(code, 16) for path, code in codes.items() if code}
        for codes in (held_out, trained)
    )
    if not first or not second:
        return []
    paths, others = list(first), list(second)
    codes = np.array(list(first.values()), dtype=np.uint64)
    bank = np.array(list(second.values()), dtype=np.uint64)
    limit = similar_distance(len(codes) * len(bank))
    pairs = []
    for start in range(0, len(codes), _CHUNK):
        bits = np.bitwise_count(codes[start : start + _CHUNK, None] ^ bank)
        nearest = bits.argmin(axis=1)
        for row, column in enumerate(nearest.tolist()):
            distance = int(bits[row, column])
            if distance <= limit:
                pairs.append(Pair(paths[start + row], others[column], distance))
    return sorted(pairs, key=lambda pair: (pair.distance, pair.held_out))
