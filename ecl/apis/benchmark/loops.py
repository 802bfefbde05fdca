"""The loops that the runner's is compared with, each as a function that does one step."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from copy import deepcopy
from functools import partial

import torch
from mmengine.optim import OptimWrapper
from mmpretrain.models import ImageClassifier
from mmpretrain.structures import DataSample
from torch import Tensor, nn

from ecl.apis.benchmark.pil_views import PILViews

Step = Callable[[], object]


def views_of(inputs: Tensor | list[Tensor]) -> list[Tensor]:
    """The views of a batch as a list, also where there is one."""
    return [inputs] if isinstance(inputs, Tensor) else list(inputs)


def build_loops(
    model: ImageClassifier,
    wrapper: OptimWrapper,
    batch: dict,
    build_optimizer: Callable[[nn.Module], torch.optim.Optimizer],
) -> dict[str, Step]:
    """Copies of the runner's model in loops of their own.

    Args:
        model: The model in training.
        wrapper: Its optimizer, with the precision of the forward pass.
        batch: A batch as the data loader gives it.
        build_optimizer: Builds the optimizer of a copy of the model.

    Returns:
        One step by name: ``bare``, the model's losses, gradients and update on tensors in memory;
        ``experts``, the backbone forward and backward alone; ``momentum``, the momentum encoder
        forward, where there is one; ``reference``, float32 in contiguous layout with PIL
        transforms of one image after another.
    """
    precision = partial(wrapper.optim_context, model)
    packed = model.data_preprocessor(batch, training=True)
    views, samples = views_of(packed['inputs']), packed['data_samples']
    bare = _copy(model)
    loops: dict[str, Step] = {
        'bare': partial(
            train_step, bare, build_optimizer(bare), packed['inputs'], samples, precision
        ),
        'experts': partial(experts_step, deepcopy(model.backbone), views[0], precision),
    }
    contrast = getattr(model, 'contrast', None)
    if contrast is not None:
        encoder = deepcopy(contrast.momentum_encoder)
        loops['momentum'] = partial(forward_step, encoder, views[1], precision)
    plain = _copy(model).to(memory_format=torch.contiguous_format)
    pixels = views_of(batch['inputs'])[0]
    transform = PILViews(pixels, len(views))
    loops['reference'] = partial(reference_step, plain, build_optimizer(plain), transform, samples)
    return loops


def _copy(model: ImageClassifier) -> ImageClassifier:
    """A copy that nothing observes: the training's hooks stay with the original."""
    hooks = [module._forward_hooks for module in model.modules()]
    return deepcopy(model, {id(each): type(each)() for each in hooks})


def train_step(
    model: ImageClassifier,
    optimizer: torch.optim.Optimizer,
    inputs: Tensor | list[Tensor],
    samples: list[DataSample],
    precision: Callable[[], AbstractContextManager],
) -> None:
    """Losses, gradients, update: what training cannot do without."""
    with precision():
        losses = model.loss(inputs, samples)
    optimizer.zero_grad()
    sum(losses.values()).backward()
    optimizer.step()


def experts_step(
    backbone: nn.Module, images: Tensor, precision: Callable[[], AbstractContextManager]
) -> None:
    """The experts' forward and backward passes."""
    with precision():
        maps = backbone(images)
    backbone.zero_grad()
    torch.autograd.backward(maps, [torch.ones_like(each) for each in maps])


@torch.no_grad()
def forward_step(
    encoder: nn.Module, images: Tensor, precision: Callable[[], AbstractContextManager]
) -> None:
    """A forward pass without gradients."""
    with precision():
        encoder(images)


def reference_step(
    model: ImageClassifier,
    optimizer: torch.optim.Optimizer,
    transform: PILViews,
    samples: list[DataSample],
) -> None:
    """The step as common research code has it, transforms included."""
    device = next(model.parameters()).device
    views = [view.to(device) for view in transform()]
    inputs = views[0] if len(views) == 1 else views
    losses = model.loss(inputs, samples)
    optimizer.zero_grad()
    sum(losses.values()).backward()
    optimizer.step()
