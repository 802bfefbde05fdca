"""Faults of a split list that its parser cannot see."""

from collections.abc import Iterator

from ecl.datasets import ImageList, count_classes
from ecl.datasets.public_lists import PUBLIC_LISTS


def repeated_lines(content: str, name: str) -> Iterator[str]:
    """Lines that name an image again.

    Args:
        content: Text of a list whose lines are all sound.
        name: What to call it.

    Yields:
        One line of words for each.
    """
    first: dict[str, tuple[int, str]] = {}
    for number, line in enumerate(content.split('\n'), 1):
        fields = line.strip().rsplit(None, 1)
        if not fields:
            continue
        path, label = fields
        earlier, given = first.setdefault(path, (number, label))
        if earlier != number:
            as_well = f' with label {label} instead of {given}' if label != given else ''
            yield f'{name}, line {number} names the image of line {earlier} again{as_well}: {path}'


def unlike_public(dataset: ImageList) -> str:
    """How the counts of a list under a public name differ from the public ones.

    Args:
        dataset: The list.

    Returns:
        One line of words; empty where they agree or the name is no public one.
    """
    public = [entry for entry in PUBLIC_LISTS if entry.name == dataset.split]
    counts = count_classes(dataset)
    found = (sum(counts), max(counts), min(counts))
    if not public or found in {(entry.images, entry.most, entry.least) for entry in public}:
        return ''
    entry = public[0]
    return (
        f'{dataset.ann_file} has {found[0]:,} images, {found[1]} to {found[2]} a class, but the '
        f'public {entry.name} has {entry.images:,}, {entry.most} to {entry.least}; get the public '
        'list, or give your own another name'
    )
