"""Draw the predictions and features of a run."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE

from ecl.shots import THRESHOLDS, shot_groups
from ecl.visualization.style import (
    GROUP_COLOURS,
    GROUP_MARKERS,
    ON_DARK,
    ON_LIGHT,
    SMALL,
    plain_axes,
    shaded_cells,
    short_name,
)


def agreement_matrix(predictions: np.ndarray, names: Sequence[str]) -> Figure:
    """Draw the share of images for which two predictors predict the same class.

    Args:
        predictions: Predicted classes, shape (P, N): predictors, images.
        names: Names of the predictors, length P.

    Returns:
        A figure without a window.

    Example:
        >>> figure = agreement_matrix(np.array([[0, 1], [0, 2]]), ['expert 0', 'expert 1'])
        >>> figure.axes[0].texts[1].get_text()
        '50'
    """
    share = 100 * (predictions[:, None] == predictions[None]).mean(axis=2)
    figure = Figure(figsize=SMALL, layout='constrained')
    axes = figure.add_subplot()
    shaded_cells(axes, share)
    axes.set_xticks(range(len(names)), names, rotation=30, ha='right', rotation_mode='anchor')
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel('same class (% of the images)')
    return figure


def experts_right(right: np.ndarray, labels: np.ndarray, groups: dict[str, np.ndarray]) -> Figure:
    """Draw the share of images on which all, some or none of the experts are right, by shot group.

    Args:
        right: Whether each expert is right on each image, shape (K, N), bool.
        labels: True classes, shape (N,).
        groups: Class indices by group, as of :func:`ecl.shots.shot_groups`.

    Returns:
        A figure without a window; a bar of 100 percent for each group and for all images.

    Example:
        >>> right = np.array([[True, False], [True, True]])
        >>> figure = experts_right(right, np.array([0, 1]), {'many': np.array([0, 1])})
        >>> [label.get_text() for label in figure.axes[0].get_yticklabels()]
        ['all', 'many']
    """
    num_experts, num_right = len(right), right.sum(axis=0)
    rows = {'all': np.ones(len(labels), dtype=bool)}
    rows |= {name: np.isin(labels, classes) for name, classes in groups.items()}
    rows = {name: images for name, images in rows.items() if images.any()}
    figure = Figure(figsize=SMALL, layout='constrained')
    axes = figure.add_subplot()
    places = np.arange(len(rows))
    left = np.zeros(len(rows))
    parts = [('all right', num_right == num_experts, '#1F77B4', ON_DARK)]
    if num_experts > 1:
        some = (num_right > 0) & (num_right < num_experts)
        parts.append(('some right', some, '#9ECAE1', ON_LIGHT))
    parts.append(('none right', num_right == 0, '#BDBDBD', ON_LIGHT))
    for name, images, colour, ink in parts:
        share = np.array([100 * images[members].mean() for members in rows.values()])
        bars = axes.barh(places, share, left=left, color=colour, label=name, height=0.7)
        texts = [f'{value:.0f}' if value >= 7 else '' for value in share]
        axes.bar_label(bars, texts, label_type='center', color=ink)
        left += share
    axes.set_yticks(places, rows)
    axes.tick_params(axis='y', length=0)
    axes.invert_yaxis()
    axes.set_xlim(0, 100)
    axes.set_xlabel('test images (%)')
    axes.spines[['top', 'right', 'left']].set_visible(False)
    figure.legend(loc='outside upper center', ncols=3, frameon=False, handlelength=1)
    return figure


def confusing_classes(labels: np.ndarray, predictions: np.ndarray, size: int = 10) -> np.ndarray:
    """Choose the classes of lowest accuracy, each with the class it is most often mistaken for.

    Classes are added in order of accuracy until there are ``size``.

    Args:
        labels: True classes, shape (N,).
        predictions: Predicted classes, shape (N,).
        size: How many classes to choose.

    Returns:
        At most ``size`` classes. Empty if all predictions are right.

    Example:
        >>> confusing_classes(np.array([0, 1, 2, 2]), np.array([0, 2, 2, 2])).tolist()
        [1, 2]
    """
    tested = np.unique(labels)
    right = np.array([(predictions[labels == label] == label).mean() for label in tested])
    chosen: list[int] = []
    for label in tested[np.argsort(right, kind='stable')]:
        wrong = predictions[(labels == label) & (predictions != label)]
        if len(chosen) >= size or not wrong.size:
            break
        chosen += [c for c in (int(label), int(np.bincount(wrong).argmax())) if c not in chosen]
    return np.array(chosen[:size], dtype=np.int64)


def confusion_matrix(
    labels: np.ndarray, predictions: np.ndarray, classes: np.ndarray, names: Sequence[str]
) -> Figure:
    """Draw the confusion matrix of some classes.

    Args:
        labels: True classes, shape (N,).
        predictions: Predicted classes, shape (N,).
        classes: The classes to show, shape (M,), of the C ones.
        names: Class names in label order, length C.

    Returns:
        A figure without a window. A row is a true class, in percent of its images; the last column
        is the sum of the predicted classes that are not shown, if there are any.

    Example:
        >>> labels, predictions = np.array([0, 0, 1]), np.array([0, 1, 1])
        >>> figure = confusion_matrix(labels, predictions, np.array([0, 1]), ['owl', 'bat'])
        >>> [text.get_text() for text in figure.axes[0].texts]
        ['50', '50', '100']
    """
    shares = np.zeros((len(classes), len(classes) + 1))
    for row, label in enumerate(classes):
        predicted = predictions[labels == label]
        if predicted.size:
            shares[row, :-1] = 100 * (predicted[:, None] == classes).mean(axis=0)
            shares[row, -1] = 100 - shares[row, :-1].sum()
    columns = [short_name(str(names[label]), 13) for label in classes]
    rows = columns[:]
    if shares[:, -1].max() > 0.5:
        columns.append('others')
    shares = shares[:, : len(columns)]
    figure = Figure(figsize=SMALL, layout='constrained')
    axes = figure.add_subplot()
    shaded_cells(axes, shares)
    axes.set_xticks(range(len(columns)), columns, rotation=45, ha='right', rotation_mode='anchor')
    axes.set_yticks(range(len(rows)), rows)
    axes.set_xlabel('predicted (% of the true class)')
    axes.set_ylabel('true')
    return figure


def reliability_diagram(confidence: np.ndarray, right: np.ndarray, bins: int = 15) -> Figure:
    """Draw a reliability diagram: accuracy by bin of confidence, above the share of the images.

    Args:
        confidence: Probability of the predicted class of each image, shape (N,), 0 to 1.
        right: Whether the prediction is right, shape (N,), bool.
        bins: Number of bins of equal width.

    Returns:
        A figure without a window. Bars below the diagonal are over-confident.

    Example:
        >>> figure = reliability_diagram(np.array([0.9, 0.6]), np.array([True, False]))
        >>> len(figure.axes)
        2
    """
    edges = np.linspace(0, 1, bins + 1)
    # As in torchmetrics, a bin includes its lower edge; 1 belongs to the last bin.
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


#: The largest number of classes whose names fit into the figure.
NAMED = 20
#: Principal components from which t-SNE computes distances.
DIMENSIONS = 50


def embed(features: np.ndarray) -> np.ndarray:
    """Embed features in the plane by t-SNE.

    Args:
        features: Shape (N, D). Wide ones are first reduced to 50 principal components.

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
    reduced = PCA(size, random_state=0).fit_transform(features)
    perplexity = min(30, (len(features) - 1) / 3)
    return TSNE(perplexity=perplexity, init='pca', random_state=0).fit_transform(reduced)


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
