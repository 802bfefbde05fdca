"""Which images of each class stay: three rules that circulate under the name CIFAR-LT."""

from collections.abc import Sequence

import numpy as np


def random_subset(
    members: Sequence[np.ndarray], wanted: Sequence[int], seed: int
) -> list[np.ndarray]:
    """A random choice that depends on nothing but the seed, the class and its size [ours].

    Args:
        members: Indices of the images of each class, ascending.
        wanted: Number to keep of each class.
        seed: Seed of the choice, at least 0.

    Returns:
        Indices to keep of each class.
    """
    return [
        indices[np.random.default_rng([seed, label]).permutation(len(indices))[:number]]
        for label, (indices, number) in enumerate(zip(members, wanted, strict=True))
    ]


def cao_subset(members: Sequence[np.ndarray], wanted: Sequence[int], seed: int) -> list[np.ndarray]:
    """The choice of LDAM-DRW and of most code since [lineage].

    NumPy's old generator, seeded once, shuffles the classes one after the other; the first of
    each stay. Seed 0, the published one, gives the usual images only where the source has the
    order of the original files.

    Args, Returns:
        As :func:`random_subset`.
    """
    generator = np.random.RandomState(seed)
    chosen = []
    for indices, number in zip(members, wanted, strict=True):
        shuffled = indices.copy()
        generator.shuffle(shuffled)
        chosen.append(shuffled[:number])
    return chosen


def first_subset(
    members: Sequence[np.ndarray], wanted: Sequence[int], seed: int
) -> list[np.ndarray]:
    """The first images of each class in the order of the source, as SHIKE takes them [lineage].

    Args, Returns:
        As :func:`random_subset`; the seed plays no part.
    """
    return [indices[:number] for indices, number in zip(members, wanted, strict=True)]


SUBSETS = {'random': random_subset, 'cao': cao_subset, 'first': first_subset}
