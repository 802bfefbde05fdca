"""Find test images that look like a training image, by perceptual hash."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

#: Largest number of different bits, of 64, in the hashes of two similar images. Among the 6.6
#: million pairs of photographs from different shops (Grocery Store Dataset, 2,485 test and 2,640
#: training images) 3 are that similar, by chance; none differs by 8 bits or fewer.
DISTANCE = 10
#: Images that are compared with all others at a time.
_CHUNK = 256


class Pair(NamedTuple):
    """Two similar images, and the different bits of their hashes."""

    held_out: str
    trained: str
    distance: int


def similar_images(held_out: Mapping[str, str], trained: Mapping[str, str]) -> list[Pair]:
    """Find the images that look like one of others.

    A perceptual hash stays nearly the same when an image is resized, compressed again or slightly
    changed, as in a burst of photographs.

    Args:
        held_out: Test and validation images -> hash, 16 hexadecimal digits; see
            :class:`~ecl.datasets.image_file.ImageFacts`.
        trained: Training images, likewise. Images without a hash are left out.

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
    pairs = []
    for start in range(0, len(codes), _CHUNK):
        bits = np.bitwise_count(codes[start : start + _CHUNK, None] ^ bank)
        nearest = bits.argmin(axis=1)
        for row, column in enumerate(nearest.tolist()):
            distance = int(bits[row, column])
            if distance <= DISTANCE:
                pairs.append(Pair(paths[start + row], others[column], distance))
    return sorted(pairs, key=lambda pair: (pair.distance, pair.held_out))
