"""Is a model as often right as it says?"""

import numpy as np
from matplotlib.figure import Figure

from ecl.visualization.style import SMALL, plain_axes


def reliability_diagram(confidence: np.ndarray, right: np.ndarray, bins: int = 15) -> Figure:
    """Draw the accuracy of the images in each bin of confidence, over the share of the images.

    Args:
        confidence: Probability of the predicted class of each image, shape (N,), 0 to 1.
        right: Whether the prediction is right, shape (N,), bool.
        bins: Number of bins of equal width.

    Returns:
        A figure that belongs to no window. Bars below the diagonal are over-confident.

    Example:
        >>> figure = reliability_diagram(np.array([0.9, 0.6]), np.array([True, False]))
        >>> len(figure.axes)
        2
    """
    edges = np.linspace(0, 1, bins + 1)
    # As torchmetrics has it: a bin holds its lower edge; 1 belongs to the last one.
    place = np.clip(np.digitize(confidence, edges) - 1, 0, bins - 1)
    images = np.bincount(place, minlength=bins)
    seen = images > 0
    accuracy = np.zeros(bins)
    accuracy[seen] = np.bincount(place, weights=right, minlength=bins)[seen] / images[seen]
    centres = (edges[:-1] + edges[1:]) / 2
    figure = Figure(figsize=SMALL, layout='constrained')
    axes, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    axes.bar(centres[seen], accuracy[seen], 0.9 / bins, color='#0072B2', label='accuracy')
    axes.plot([0, 1], [0, 1], color='#D55E00', linestyle='--', linewidth=1.6, label='calibrated')
    axes.set_ylim(0, 1.02)
    axes.set_ylabel('accuracy')
    figure.legend(loc='outside upper center', ncols=2, frameon=False)
    below.bar(centres, 100 * images / max(1, images.sum()), 0.9 / bins, color='#7F7F7F')
    below.set_xlim(0, 1)
    below.set_ylabel('images (%)')
    below.set_xlabel('confidence')
    for panel in (axes, below):
        plain_axes(panel)
    return figure
