"""Compute the cost of a model, and draw accuracy over cost."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from mmengine.config import Config
from mmengine.dataset import default_collate
from mmengine.registry import init_default_scope
from mmpretrain.models import BaseClassifier
from scipy.optimize import isotonic_regression
from torch.utils.data import Dataset
from torch.utils.flop_counter import FlopCounterMode

from ecl.apis.models import build_untrained
from ecl.datasets.in_memory import without_memory
from ecl.engine.methods.class_counts import tell
from ecl.registry import DATASETS, type_name
from ecl.visualization.style import GROUP_COLOURS, plain_axes

#: Images of the training step that is counted.
BATCH = 8


def model_cost(cfg: Config) -> dict[str, int]:
    """Count parameters and operations of the model of a configuration, on images of its data.

    Unlike times, the operations do not depend on the machine.

    Args:
        cfg: A configuration with training and test data.

    Returns:
        - ``parameters``: parameters that the training updates, of all experts and auxiliary layers.
          A linear probe trains only the classifiers, on features of a forward pass.
        - ``multiply_adds``: of the prediction for one image by all experts together, in its
          convolutions and matrix products.
        - ``training_multiply_adds``: of a training step, forward and backward, for one image.
        - ``views``: augmented views of each image that a training step processes.
    """
    init_default_scope(cfg.get('default_scope', 'ecl'))
    model = build_untrained(cfg.model, cfg)
    image = _image_by_image(cfg.test_dataloader.dataset)[0]['inputs']
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model.eval()(image.unsqueeze(0).float())
    predicted = counter.get_total_flops() // 2
    if type_name(cfg.train_cfg) == 'LinearProbeLoop':
        trained = sum(p.numel() for p in model.head.label_classifiers.parameters())
        return {
            'parameters': trained,
            'multiply_adds': predicted,
            'training_multiply_adds': predicted,
            'views': 1,
        }
    dataset = _image_by_image(cfg.train_dataloader.dataset)
    views = dataset[0]['inputs']
    made = getattr(model.data_preprocessor, 'views', None) or ()  # of the whole batch
    return {
        'parameters': sum(p.numel() for p in model.parameters() if p.requires_grad),
        'multiply_adds': predicted,
        'training_multiply_adds': _training_multiply_adds(model.train(), dataset),
        'views': len(made) or (len(views) if isinstance(views, list) else 1),
    }


def _image_by_image(config: Mapping[str, Any]) -> Dataset:
    """Build a dataset without decoding all of its images."""
    return DATASETS.build(without_memory(config))


def _convolution_backward(
    grad_shape: Sequence[int],
    x_shape: Sequence[int],
    w_shape: Sequence[int],
    *args: Any,
    **kwargs: Any,
) -> int:
    """Count a convolution's backward pass: as many operations as forward for each gradient.

    PyTorch's own count treats grouped convolutions as full ones.
    """
    inputs, weights, *_ = args[-1]  # whether each gradient is needed
    forward = 2 * grad_shape[0] * math.prod(grad_shape[2:]) * math.prod(w_shape)
    return forward * (bool(inputs) + bool(weights))


_BACKWARD = {torch.ops.aten.convolution_backward: _convolution_backward}


def _training_multiply_adds(model: BaseClassifier, dataset: Dataset) -> int:
    tell(model, 'set_class_counts', [1] * model.head.num_classes)
    tell(model, 'set_progress', 0.0)
    batch = default_collate([dataset[index] for index in range(BATCH)])
    with FlopCounterMode(display=False, custom_mapping=_BACKWARD) as counter:
        losses = model(**model.data_preprocessor(batch, training=True), mode='loss')
        model.parse_losses(losses)[0].backward()
    return counter.get_total_flops() // (2 * BATCH)


def cost_figure(lines: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw accuracy against the cost of training, relative to the cheapest row.

    Args:
        lines: Rows of a table, as :func:`~ecl.apps.experiments.table.write_table` returns them.
            Rows without a result or a training cost, such as variants, are left out.

    Returns:
        A figure without a window: overall and few-shot accuracy of each row, one panel each, with
        the sample standard deviation over the seeds.
    """
    shown = [
        line
        for line in lines
        if line.get('cost', {}).get('training_multiply_adds') and line['mean'].get('overall')
    ]
    figure = Figure(figsize=(7.5, 12), layout='constrained')
    panels = figure.subplots(2, 1)
    costs = np.array([line['cost']['training_multiply_adds'] for line in shown], dtype=float)
    costs /= costs.min() if len(costs) else 1
    keys = {'overall': '#333333', 'few': GROUP_COLOURS['few']}
    for axes, (key, colour) in zip(panels, keys.items(), strict=True):
        means = np.array([line['mean'].get(key, np.nan) for line in shown])
        spread = [line.get('std', {}).get(key, 0) for line in shown]
        axes.errorbar(costs, means, spread, fmt='o', color=colour, ecolor='0.75', capsize=2)
        axes.set_xscale('log', base=2)
        axes.set_xlim(0.28, 2 * max(costs, default=1))
        ticks = 2.0 ** np.arange(0, np.log2(max(costs, default=1)) + 1)
        axes.set_xticks(ticks, [f'{tick:g}' for tick in ticks])
        axes.set_xlabel('multiply-adds to train on an image, relative to the cheapest method')
        axes.set_ylabel(f'{"few-shot" if key == "few" else key} accuracy (%)')
        plain_axes(axes)
        low, high = axes.get_ylim()
        gap = (high - low) / 42
        for column, members in enumerate(_clusters(costs)):
            heights = spread_apart(means[members], gap)
            low, high = min(low, heights.min() - gap), max(high, heights.max() + gap)
            # The cheapest methods, which are the most, have the left side for their names.
            x, side = (costs[members].max() * 1.1, 'left') if column else (0.9, 'right')
            for index, height in zip(members, heights, strict=True):
                axes.annotate(
                    shown[index]['name'],
                    (costs[index], means[index]),
                    (x, height),
                    fontsize=8,
                    ha=side,
                    va='center',
                    arrowprops=dict(arrowstyle='-', color='0.8', linewidth=0.6, shrinkB=3),
                )
        axes.set_ylim(low, high)
    return figure


def _clusters(costs: np.ndarray) -> list[np.ndarray]:
    """Return the indices of rows whose labels are in one column, from cheap to expensive."""
    order = np.argsort(costs, kind='stable')
    cuts = np.flatnonzero(np.diff(costs[order]) > 0.1 * costs[order][:-1]) + 1
    return [part for part in np.split(order, cuts) if len(part)]


def spread_apart(values: np.ndarray, gap: float) -> np.ndarray:
    """Move values apart until neighbours differ by ``gap``, keeping their order and their middle.

    Args:
        values: Shape (N,).
        gap: Smallest difference.

    Example:
        >>> spread_apart(np.array([1.0, 1.0, 5.0]), 1.0).tolist()
        [0.5, 1.5, 5.0]
    """
    order = np.argsort(values, kind='stable')
    places = gap * np.arange(len(values))
    moved = np.empty(len(values))
    # Least squares under the condition that the values, less their places, do not fall.
    moved[order] = isotonic_regression(values[order] - places).x + places
    return moved
