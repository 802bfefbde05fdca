"""A sheet of images as the network gets them, one row for each class."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

#: Inches between the images of a row, between views of one image a third of it.
_GAP = 0.12


def image_sheet(
    rows: Sequence[Sequence[Sequence[np.ndarray]]],
    titles: Sequence[str],
    size: float = 0.9,
) -> Figure:
    """Draw images by class; the views of an image stand side by side.

    Args:
        rows: ``rows[r][i][v]`` is view v of image i in row r, an array (H, W, 3) of uint8 in RGB.
            All images have as many views; rows may differ in length.
        titles: What stands left of each row.
        size: Height and width of a view, in inches.

    Returns:
        A figure that belongs to no window. Small images keep their pixels visible.

    Example:
        >>> white = np.full((8, 8, 3), 255, np.uint8)
        >>> len(image_sheet([[[white, white]]], ['owl']).axes)
        2
    """
    views = len(rows[0][0])
    block = views * size + (views - 1) * _GAP / 3
    left = 0.1 + max(len(line) for title in titles for line in title.split('\n')) * 0.075
    top = 0.3 if views > 1 else _GAP
    width = left + max(len(row) for row in rows) * (block + _GAP)
    height = top + len(rows) * (size + _GAP)
    figure = Figure(figsize=(width, height))

    def frame(row: int, image: int, view: int) -> tuple[float, float, float, float]:
        x = left + image * (block + _GAP) + view * (size + _GAP / 3)
        y = height - top - (row + 1) * size - row * _GAP
        return x / width, y / height, size / width, size / height

    for row, images in enumerate(rows):
        for image, shown in enumerate(images):
            for view, pixels in enumerate(shown):
                axes = figure.add_axes(frame(row, image, view))
                axes.imshow(pixels, interpolation='nearest' if max(pixels.shape) < 100 else None)
                axes.set_axis_off()
        x, y, _, tall = frame(row, 0, 0)
        figure.text(x - 0.08 / width, y + tall / 2, titles[row], ha='right', va='center', size=8)
    if views > 1:
        for view in range(views):
            x, y, wide, tall = frame(0, 0, view)
            figure.text(
                x + wide / 2, y + tall + 0.06 / height, f'view {view + 1}', ha='center', size=8
            )
    return figure
