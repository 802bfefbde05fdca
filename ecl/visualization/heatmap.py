"""Heat map of the distillation weights by class and epoch."""

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from ecl.shots import THRESHOLDS, shot_groups


def weight_heatmap(
    weights: np.ndarray,
    class_counts: ArrayLike,
    thresholds: tuple[int, int] = THRESHOLDS,
) -> Figure:
    """Draw the mean distillation weight per class and epoch.

    Classes are sorted by their training images, the most frequent on top. Weights are averaged over
    the experts. The colours are logarithmic around weight 1, so that doubled and halved weights
    look equally strong, and end at the 99th percentile of the distance from 1.

    Args:
        weights: Mean weights, shape (E, K, C): epochs, experts, classes. NaN, drawn in grey, where
            a class was not seen in an epoch.
        class_counts: Training images of each class, length C.
        thresholds: ``(low, high)``; see :func:`ecl.shots.shot_groups`.

    Returns:
        A figure without a window; save it with ``figure.savefig(path)``.

    Example:
        >>> figure = weight_heatmap(np.ones((5, 3, 10)), class_counts=range(200, 0, -20))
        >>> figure.axes[0].get_xlabel()
        'epoch'
    """
    counts = np.asarray(class_counts)
    order = np.argsort(-counts, kind='stable')
    unseen = np.isnan(weights)
    seen = np.maximum((~unseen).sum(axis=1), 1)
    mean = np.where(unseen, 0, weights).sum(axis=1) / seen
    mean[unseen.all(axis=1)] = np.nan

    figure = Figure(figsize=(9, 6), layout='constrained')
    axes = figure.add_subplot()
    bound = _colour_bound(mean)
    # Clipped, so that a weight of 0 gets the darkest colour and not that of unseen classes.
    image = axes.imshow(
        np.clip(mean.T[order], 1 / bound, bound),
        cmap=colormaps['RdBu_r'].with_extremes(bad='0.75'),
        norm='log',
        clim=(1 / bound, bound),
        aspect='auto',
        extent=(0.5, len(mean) + 0.5, len(counts) - 0.5, -0.5),
    )
    axes.set_title('Mean distillation weight by class and epoch')
    axes.set_xlabel('epoch')
    axes.set_ylabel('training images of the class')
    axes.xaxis.set_major_locator(MaxNLocator(10, steps=[1, 2, 5, 10], integer=True, min_n_ticks=1))
    ticks = np.unique(np.linspace(0, len(counts) - 1, min(len(counts), 12)).round().astype(int))
    axes.set_yticks(ticks, [str(count) for count in counts[order][ticks]])
    _mark_groups(axes, counts, thresholds)
    label = 'weight (1: average, grey: not seen)'
    bar = figure.colorbar(image, ax=axes, pad=0.02, extend='both', label=label)
    colour_ticks = bound ** np.array([-1, -0.5, 0, 0.5, 1])
    bar.set_ticks(colour_ticks.tolist(), labels=[f'{tick:.2f}' for tick in colour_ticks])
    bar.minorticks_off()
    return figure


def _colour_bound(mean: np.ndarray) -> float:
    """Return the ratio to 1 at which the colours end."""
    positive = mean[mean > 0]
    if not positive.size:
        return 1.1
    return max(1.1, float(np.exp(np.percentile(np.abs(np.log(positive)), 99))))


def _mark_groups(axes: Axes, counts: np.ndarray, thresholds: tuple[int, int]) -> None:
    """Draw the borders between the shot groups and name the groups on the right."""
    sizes = {name: len(ids) for name, ids in shot_groups(counts, thresholds).items()}
    ends = np.cumsum(list(sizes.values()))
    for end in ends[:-1]:
        axes.axhline(end - 0.5, color='black', linewidth=1.2)
    centres = (ends - np.array(list(sizes.values())) / 2) / len(counts)
    gap = 0.08  # of the height, so that the names of small groups do not overlap
    for index in range(1, len(centres)):
        centres[index] = max(centres[index], centres[index - 1] + gap)
    for index in reversed(range(len(centres))):
        centres[index] = min(centres[index], 1 - gap / 2 - gap * (len(centres) - 1 - index))
    for (name, size), centre in zip(sizes.items(), centres, strict=True):
        axes.text(
            1.01,
            1 - centre,
            f'{name}\n{size} {"class" if size == 1 else "classes"}',
            transform=axes.transAxes,
            va='center',
            fontsize='small',
        )
