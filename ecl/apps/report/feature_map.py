"""Map of the features of images, by t-SNE."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE

from ecl.shots import THRESHOLDS, shot_groups
from ecl.visualization.style import GROUP_COLOURS, GROUP_MARKERS, SMALL, short_name

#: The largest number of classes whose names fit into the map.
NAMED = 20
#: Principal components from which t-SNE computes distances.
DIMENSIONS = 50


def embed(features: np.ndarray, seed: int = 0) -> np.ndarray:
    """Embed features in the plane by t-SNE.

    Args:
        features: Shape (N, D). Wide ones are first reduced to 50 principal components.
        seed: Seed of the solvers.

    Returns:
        Points, shape (N, 2), float32; the same for the same input on the same machine. With fewer
        than four images, too few for t-SNE, the first two values of each feature.

    Example:
        >>> embed(np.random.default_rng(0).normal(size=(20, 64))).shape
        (20, 2)
    """
    if len(features) < 4:
        return np.pad(features, ((0, 0), (0, 2)))[:, :2].astype(np.float32)
    size = min(DIMENSIONS, *features.shape)
    reduced = PCA(size, random_state=seed).fit_transform(features)
    perplexity = min(30, (len(features) - 1) / 3)
    return TSNE(perplexity=perplexity, init='pca', random_state=seed).fit_transform(reduced)


def feature_map(
    places: np.ndarray,
    labels: np.ndarray,
    class_counts: Sequence[int] | np.ndarray,
    names: Sequence[str] | None = None,
    thresholds: tuple[int, int] = THRESHOLDS,
) -> Figure:
    """Draw images as points, coloured by the shot group of their class.

    Args:
        places: Points, shape (N, 2), of :func:`embed`.
        labels: True classes, shape (N,).
        class_counts: Training images of each class, length C.
        names: Class names in label order; those of up to twenty classes stand at their centres.
        thresholds: ``(low, high)``; see :func:`ecl.shots.shot_groups`.

    Returns:
        A figure without a window.

    Example:
        >>> figure = feature_map(np.eye(2), np.array([0, 1]), [200, 5])
        >>> [text.get_text() for text in figure.legends[0].get_texts()]
        ['many', 'few']
    """
    figure = Figure(figsize=SMALL, layout='constrained')
    axes = figure.add_subplot()
    for group, classes in shot_groups(class_counts, thresholds).items():
        x, y = places[np.isin(labels, classes)].T
        style: dict[str, Any] = dict(
            color=GROUP_COLOURS[group], marker=GROUP_MARKERS[group], label=group
        )
        axes.scatter(x, y, s=9, alpha=0.7, linewidths=0, **style)
    if names is not None and len(class_counts) <= NAMED:
        for label in np.unique(labels):
            x, y = np.median(places[labels == label], axis=0)
            box = dict(boxstyle='round,pad=0.15', facecolor='white', edgecolor='none', alpha=0.8)
            name = short_name(str(names[label]), 14)
            axes.text(x, y, name, ha='center', va='center', bbox=box, fontweight='bold')
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    figure.legend(
        loc='outside upper center', ncols=3, frameon=False, markerscale=1.8, handletextpad=0.2
    )
    return figure
