"""Divide images into training, validation and test, copies of one image never across."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from ecl.errors import UserError


class Split(NamedTuple):
    """Images of each split, and those in none.

    Attributes:
        train, val, test: ``(path, label)`` of each image, by class and name.
        left_out: Path -> reason.
    """

    train: list[tuple[str, int]]
    val: list[tuple[str, int]]
    test: list[tuple[str, int]]
    left_out: dict[str, str]


def split_images(
    classes: Mapping[str, Sequence[str]],
    digests: Mapping[str, str],
    test: int | float | None = None,
    val: int | float = 0,
    seed: int = 0,
) -> Split:
    """Draw the test and validation images of each class at random; the others are for training.

    Files with the same content are one image: all of them go to training, or a single one to
    validation or test, the other copies being left out. An image found in two classes has no
    certain label and is left out everywhere.

    Args:
        classes: Class name -> paths of its sound images, in label order.
        digests: Path -> sum of its content.
        test: Test images of each class: a number, the same for all; or a fraction below 1 of each
            class, at least one image. Defaults to a third of the smallest class, 50 at most.
        val: Validation images of each class, likewise; 0 for none.
        seed: Seed of the draw.

    Returns:
        The split.

    Raises:
        UserError: If a class has too few images to leave one for training.
    """
    labels_of = defaultdict(set)
    for label, paths in enumerate(classes.values()):
        for path in paths:
            labels_of[digests[path]].add(label)
    names = list(classes)
    result = Split([], [], [], {})
    copies: list[dict[str, list[str]]] = []
    for paths in classes.values():
        mine: dict[str, list[str]] = defaultdict(list)
        for path in paths:
            labels = sorted(labels_of[digests[path]])
            if len(labels) > 1:
                among = ', '.join(repr(names[label]) for label in labels)
                result.left_out[path] = f'the same image is in the classes {among}'
            else:
                mine[digests[path]].append(path)
        copies.append(mine)
    sizes = [len(mine) for mine in copies]
    if test is None:
        test = max(1, min(50, min(sizes) // 3))
    for label, (name, mine) in enumerate(zip(names, copies, strict=True)):
        tested, validated = (_number(share, len(mine)) for share in (test, val))
        if tested + validated >= len(mine):
            raise UserError(
                f'class {name!r} has {len(mine)} different images, too few for {tested} test and '
                f'{validated} validation images and one to train on; ask for fewer, or add images '
                'to the class'
            )
        groups = [mine[digest] for digest in sorted(mine, key=lambda digest: mine[digest][0])]
        order = np.random.default_rng([seed, label]).permutation(len(groups))
        parts = ((result.test, tested), (result.val, validated))
        start = 0
        for part, number in parts:
            for index in sorted(order[start : start + number]):
                first, *others = groups[index]
                part.append((first, label))
                result.left_out.update(dict.fromkeys(others, f'a copy of {first}'))
            start += number
        for index in sorted(order[start:]):
            result.train.extend((path, label) for path in groups[index])
    return result


def _number(share: int | float, size: int) -> int:
    return share if isinstance(share, int) else max(1, round(share * size))
