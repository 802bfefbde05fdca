"""Random draws that keep their expectation and waste no variance."""

import math

import numpy as np


def stochastic_round(weights: np.ndarray, total: int, rng: np.random.Generator) -> np.ndarray:
    """Whole numbers proportional to weights: each is rounded up or down, with the right mean.

    Systematic sampling: the weights are laid end to end and hit by equidistant points at one
    random offset.

    Args:
        weights: Non-negative weights with a positive sum, shape (M,).
        total: What the numbers add up to.
        rng: Source of the offset.

    Returns:
        Shape (M,), int64. Entry m is the floor or the ceiling of ``total * weights[m] /
        weights.sum()`` and has that mean.

    Example:
        >>> stochastic_round(np.array([3.0, 1.0]), 8, np.random.default_rng(0)).tolist()
        [6, 2]
    """
    # Rounded, since 2.9999999999 would now and then lose a whole draw.
    ends = np.round(np.cumsum(weights) * (total / weights.sum()), 9)
    ends[-1] = total
    hits = np.floor(ends + rng.random()).astype(np.int64)
    return np.diff(hits, prepend=0)


def spread(draws: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """An order in which every class is spread evenly over an epoch.

    Args:
        draws: Number of draws of each class, shape (M,).
        rng: Source of the order.

    Returns:
        Class of each draw, shape (draws.sum(),). The draws of a class fall one into each of as many
        equal parts of the epoch, at random within.
    """
    classes = np.repeat(np.arange(len(draws)), draws)
    turn = np.arange(len(classes)) - np.repeat(np.cumsum(draws) - draws, draws)
    return classes[np.argsort((turn + rng.random(len(classes))) / draws[classes])]


def cycle(members: np.ndarray, number: int, rng: np.random.Generator) -> np.ndarray:
    """``number`` draws from ``members``: all of them shuffled, over and over."""
    passes = np.tile(members, (math.ceil(number / len(members)), 1))
    return rng.permuted(passes, axis=1).ravel()[:number]


def members_by_class(labels: np.ndarray) -> list[np.ndarray]:
    """Indices of the images of each class that has any, in label order."""
    _, sizes = np.unique(labels, return_counts=True)
    return np.split(np.argsort(labels, kind='stable'), np.cumsum(sizes)[:-1])
