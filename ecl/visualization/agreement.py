"""How much the experts agree."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from ecl.visualization.style import ON_DARK, ON_LIGHT, SMALL, shaded_cells


def agreement_matrix(predictions: np.ndarray, names: Sequence[str]) -> Figure:
    """Draw the share of images on which each two predictors name the same class.

    Args:
        predictions: Predicted classes, shape (P, N): predictors, images.
        names: What the predictors are called, length P.

    Returns:
        A figure that belongs to no window.

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
    """Draw on how many images all, some or none of the experts are right, by shot group.

    Args:
        right: Whether each expert is right on each image, shape (K, N), bool.
        labels: True classes, shape (N,).
        groups: Class indices by group, as of :func:`ecl.shots.shot_groups`.

    Returns:
        A figure that belongs to no window; a bar of 100 percent for each group and for all images.

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
