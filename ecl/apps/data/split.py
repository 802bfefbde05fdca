"""Split the images of each class into training, validation and test."""

import warnings
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

from ecl.errors import UserError
from ecl.settings import Whole, validate_params

#: Classes that an error names.
_NAMED = 20
#: Seeds that numpy and scikit-learn take.
_SEEDS = Whole(at_least=0, at_most=2**32 - 1)


class Split(NamedTuple):
    """Images of each split, and images that were left out.

    Attributes:
        train, val, test: ``(path, label)`` of each image, by class and name.
        left_out: Path -> reason.
    """

    train: list[tuple[str, int]]
    val: list[tuple[str, int]]
    test: list[tuple[str, int]]
    left_out: dict[str, str]


@validate_params(seed=_SEEDS, untested_below=Whole(at_least=0))
def split_images(
    classes: Mapping[str, Sequence[str]],
    digests: Mapping[str, str],
    test: int | float | None = None,
    val: int | float = 0,
    seed: int = 0,
    untested_below: int = 0,
) -> Split:
    """Draw the test and validation images of each class at random; the others are for training.

    Files with the same content are one image: either all copies go to training, or one copy goes to
    validation or test and the others are left out. An image in two classes has no certain label and
    is left out.

    Args:
        classes: Class name -> paths of its valid images, in label order.
        digests: Path -> checksum of its content.
        test: Test images of each class: a number, the same for all; or a fraction below 1 of each
            class, at least one image. Defaults to a third of the smallest class that is tested, 50
            at most.
        val: Validation images of each class, as for ``test``; 0 for none.
        seed: Seed of the draw.
        untested_below: Classes with fewer different images are for training only.

    Returns:
        The split.

    Raises:
        UserError: If classes have too few images to leave one for training, or the seed is
            negative.
    """
    result = Split([], [], [], ambiguous_images(classes, digests))
    copies: list[dict[str, list[str]]] = []
    for paths in classes.values():
        mine: dict[str, list[str]] = defaultdict(list)
        for path in paths:
            if path not in result.left_out:
                mine[digests[path]].append(path)
        copies.append(mine)
    tested = [len(mine) for mine in copies if len(mine) >= untested_below]
    if test is None:
        test = max(1, min(50, min(tested, default=0) // 3))
    numbers = [
        [0, 0] if len(mine) < untested_below else [_number(part, len(mine)) for part in (test, val)]
        for mine in copies
    ]
    small = {
        name: len(mine)
        for name, mine, held_out in zip(classes, copies, numbers, strict=True)
        if sum(held_out) >= len(mine)
    }
    if small:
        raise UserError(_describe_small(small, classes, result.left_out))
    if not tested:
        raise UserError(
            f'no class is left to test: got {max(map(len, copies))} different images in the '
            f'largest, expected at least {untested_below}. Lower --untested-below.'
        )
    for label, (mine, held_out) in enumerate(zip(copies, numbers, strict=True)):
        groups = [mine[digest] for digest in sorted(mine, key=lambda digest: mine[digest][0])]
        order = np.random.default_rng([seed, label]).permutation(len(groups))
        start = 0
        for part, number in zip((result.test, result.val), held_out, strict=True):
            for index in sorted(order[start : start + number]):
                first, *others = groups[index]
                part.append((first, label))
                result.left_out.update(dict.fromkeys(others, f'a copy of {first}'))
            start += number
        for index in sorted(order[start:]):
            result.train.extend((path, label) for path in groups[index])
    return result


def _describe_small(
    sizes: Mapping[str, int], classes: Mapping[str, Sequence[str]], left_out: Mapping[str, str]
) -> str:
    """Return the error about classes with too few different images, given their numbers."""
    told = [
        f'{name!r} has {size}{_describe_left_out(classes[name], left_out)}'
        for name, size in list(sizes.items())[:_NAMED]
    ]
    if len(sizes) > _NAMED:
        told.append(f'and {len(sizes) - _NAMED} more')
    remedies = ['add images']
    if not all(sizes.values()):
        remedies.append('remove classes without images')
    if max(sizes.values()) > 1:
        remedies.append('ask for fewer test or validation images')
    if any(sizes.values()):
        remedies.append(f'use them only for training: --untested-below {max(sizes.values()) + 1}')
    return (
        f'{len(sizes)} of {len(classes)} classes have too few different images for test, '
        f'validation and training: {"; ".join(told)}. Possible solutions: {", or ".join(remedies)}.'
    )


def _describe_left_out(paths: Sequence[str], left_out: Mapping[str, str]) -> str:
    """Describe how many images of a class were left out, and why the first one was."""
    gone = [path for path in paths if path in left_out]
    if not gone:
        return ''
    return f' ({len(gone)} of its {len(paths)} are left out, {gone[0]}: {left_out[gone[0]]})'


#: Test images as a fraction of each class, where whole groups are tested.
GROUPED = 0.25


@validate_params(seed=_SEEDS)
def divide_groups(
    classes: Mapping[str, Sequence[str]],
    groups: Mapping[str, str],
    test: int | float | None = None,
    val: int | float = 0,
    seed: int = 0,
) -> dict[str, str]:
    """Split images so that the images of a group stay together.

    scikit-learn's StratifiedGroupKFold holds out one of n folds. n is the integer nearest to 1 /
    fraction, so the share is 1 / 2, 1 / 3 and so on, and approximate for each class. If all images
    of a class are in held-out groups, the smallest of these groups moves back to training. If a
    class has no image in a held-out split, its smallest group moves to this split, provided that
    all classes in the group have another training group.

    Args:
        classes: Class name -> paths of its valid images.
        groups: Path -> group. An image without one is a group of its own.
        test: Fraction of the images to test, at most a half. Default: a quarter.
        val: Fraction of the images to validate, at most half of those that are not tested; 0 for
            none.
        seed: Seed of the draw.

    Returns:
        Path -> 'train', 'val' or 'test', as :func:`keep_division` takes it.

    Raises:
        UserError: If ``test`` or ``val`` is a number of images or too large a fraction, there are
            too few groups, or the seed is negative.
    """
    test = GROUPED if test is None else test
    if isinstance(test, int) or (isinstance(val, int) and val):
        raise UserError(
            'with groups, only whole groups can be test images: use --test-fraction or '
            '--val-fraction'
        )
    paths = [path for members in classes.values() for path in members]
    labels = [label for label, members in enumerate(classes.values()) for _ in members]
    division = dict.fromkeys(paths, 'train')
    for split, share in (('test', test), ('val', val / (1 - test))):
        rest = [index for index, path in enumerate(paths) if division[path] == 'train']
        names = [groups.get(paths[index], paths[index]) for index in rest]
        if not share:
            continue
        if share > 0.5 + 1e-9:
            raise UserError(
                f'too many images to hold out for {split}: got {share:.0%} of the remaining '
                f'images, expected at most 50%. Lower --{split}-fraction.'
            )
        parts = round(1 / share)
        chosen = [labels[index] for index in rest]
        found = {'groups': len(set(names)), 'images per class': max(Counter(chosen).values())}
        for what, number in found.items():
            if number < max(2, parts):
                raise UserError(
                    f'got {number} {what}, expected at least {max(2, parts)} to hold out '
                    f'{share:.0%} of them for {split}'
                )
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')  # of classes with fewer images than parts
            folds = StratifiedGroupKFold(parts, shuffle=True, random_state=seed)
            _, held = next(folds.split(rest, chosen, names))
        division.update((paths[rest[index]], split) for index in held)
    for members in classes.values():
        if any(division[path] == 'train' for path in members):
            continue
        sizes = Counter(groups.get(path, path) for path in members)
        smallest = min(sizes, key=lambda group: (sizes[group], group))
        division |= {p: 'train' for p in paths if groups.get(p, p) == smallest}
    for split in ('test', 'val') if val else ('test',):
        moved = _smallest_groups(classes, groups, division, split)
        division |= {p: split for p in paths if groups.get(p, p) in moved}
    return division


def _smallest_groups(
    classes: Mapping[str, Sequence[str]],
    groups: Mapping[str, str],
    division: Mapping[str, str],
    split: str,
) -> set[str]:
    """Return groups to move from training to a split that lacks classes.

    No class loses its last training group.
    """
    held_out = {groups.get(path, path) for path in division if division[path] == split}
    of_class = {
        name: {groups.get(path, path) for path in members} for name, members in classes.items()
    }
    trained = {
        name: {groups.get(path, path) for path in members if division[path] == 'train'}
        for name, members in classes.items()
    }
    sizes = Counter(groups.get(path, path) for path in division)
    moved: set[str] = set()
    for name, mine in of_class.items():
        if mine & (held_out | moved):
            continue
        for group in sorted(trained[name], key=lambda group: (sizes[group], group)):
            if all(len(others) > 1 for others in trained.values() if group in others):
                moved.add(group)
                for others in trained.values():
                    others.discard(group)
                break
    return moved


def keep_division(
    classes: Mapping[str, Sequence[str]], digests: Mapping[str, str], division: Mapping[str, str]
) -> Split:
    """Keep an existing split, without training images that are also test images.

    Without test images, the validation images are the test images. An image in two classes has no
    certain label and is left out.

    Args:
        classes, digests: As in :func:`split_images`.
        division: Path -> 'train', 'val' or 'test'.

    Returns:
        The split.

    Raises:
        UserError: If a class has no training image left.
    """
    result = Split([], [], [], ambiguous_images(classes, digests))
    held_out: dict[str, str] = {}
    for split in ('test', 'val', 'train'):
        seen: dict[str, str] = {}
        for label, paths in enumerate(classes.values()):
            for path in paths:
                if division[path] != split or path in result.left_out:
                    continue
                if other := held_out.get(digests[path]):
                    result.left_out[path] = f'a copy of {other}, which is in {division[other]}'
                else:
                    getattr(result, split).append((path, label))
                    seen.setdefault(digests[path], path)
        held_out |= seen
    trained = {label for _, label in result.train}
    for label, (name, paths) in enumerate(classes.items()):
        if label not in trained:
            why = _describe_left_out(paths, result.left_out)
            raise UserError(f'class {name!r} has no training image that is not tested too{why}.')
    return result if result.test else result._replace(val=[], test=result.val)


def ambiguous_images(
    classes: Mapping[str, Sequence[str]], digests: Mapping[str, str]
) -> dict[str, str]:
    """Return the images that are in several classes, with the reason to leave them out."""
    names_of: dict[str, dict[str, None]] = defaultdict(dict)
    for name, paths in classes.items():
        for path in paths:
            names_of[digests[path]][name] = None
    return {
        path: f'the same image is in the classes {", ".join(map(repr, names_of[digests[path]]))}'
        for paths in classes.values()
        for path in paths
        if len(names_of[digests[path]]) > 1
    }


def _number(share: int | float, size: int) -> int:
    return share if isinstance(share, int) else max(1, round(share * size))
