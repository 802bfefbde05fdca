"""What the losses of many classes cost in the step of a large network."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from mmengine.optim import build_optim_wrapper
from mmpretrain.structures import DataSample
from torch import Tensor

from ecl.apis.benchmark.scale import labelled, least_time, one_step, training_model
from ecl.apis.config import load_config, use_mixed_precision
from ecl.engine.hooks import DistillWeightHook
from ecl.engine.hooks.keep_memory import keep_memory
from ecl.models.heads import ECLHead
from ecl.models.losses import PredictionComparison

Precision = Callable[[], AbstractContextManager]


def benchmark_losses(
    config: str | Path, batches: tuple[int, ...] = (4, 16), size: int = 224, repeats: int = 3
) -> dict[str, Any]:
    """Time a configuration's step, and in it what grows with the classes, on random images.

    In bfloat16, where the networks are cheapest and the share of the losses, computed in float32,
    is largest.

    Args:
        config: A training configuration with contrast.
        batches: Images a step.
        size: Their side in pixels.
        repeats: Steps of each; the least processor time counts.

    Returns:
        ``config``, ``classes``, ``image`` and ``batches``: for each the milliseconds of a whole
        ``step``; of the ``losses``, those of labels and between predictions with their weights
        and the record of them, from logits to the gradients of logits; of the ``classifiers``
        forward and backward; and ``share``, losses / step.
    """
    keep_memory()
    cfg = load_config(config)
    use_mixed_precision(cfg, str(config))
    model: Any = training_model(cfg)
    classes = cfg.model.head.num_classes
    for module in model.modules():
        if isinstance(module, PredictionComparison):
            module.register_forward_hook(DistillWeightHook().accumulate, with_kwargs=True)
    precision = partial(build_optim_wrapper(model, cfg.optim_wrapper).optim_context, model)
    measured = {}
    for batch in batches:
        feats = torch.randn(model.head.num_experts, batch, model.head.in_channels)
        samples = labelled(batch, classes)
        times = {
            'step': least_time(one_step(model, cfg, batch, size), repeats),
            'losses': least_time(_losses(model.head, feats, samples, precision), 3 * repeats),
            'classifiers': least_time(partial(_classify, model.head, feats, precision), repeats),
        }
        measured[batch] = {name: 1e3 * time for name, time in times.items()}
        measured[batch]['share'] = times['losses'] / times['step']
    return {'config': str(config), 'classes': classes, 'image': size, 'batches': measured}


def _losses(
    head: ECLHead, feats: Tensor, samples: list[DataSample], precision: Precision
) -> Callable[[], None]:
    with torch.no_grad(), precision():
        logits = [each.requires_grad_() for each in head.classify(tuple(feats))]

    def step() -> None:
        with (
            patch.object(head, 'classify', lambda feats: logits),
            patch.object(head, 'feature_loss', None),
            precision(),
        ):
            losses = head.loss(tuple(feats), samples)
        torch.autograd.grad(list(losses.values()), logits)

    return step


def _classify(head: ECLHead, feats: Tensor, precision: Precision) -> None:
    with precision():
        outputs = head.classify(tuple(feats.clone().requires_grad_()))
    torch.autograd.backward(outputs, [torch.ones_like(each) for each in outputs])
