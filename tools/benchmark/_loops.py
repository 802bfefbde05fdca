"""Loops that the training loop of the runner is compared with, each as one step."""

import random
from collections.abc import Callable
from contextlib import AbstractContextManager
from copy import deepcopy
from functools import partial

import torch
from mmengine.optim import OptimWrapper
from mmpretrain.models import ImageClassifier
from mmpretrain.structures import DataSample
from PIL import Image, ImageFilter
from torch import Tensor, nn
from torchvision import transforms as T


def _blur(image: Image.Image) -> Image.Image:
    return image.filter(ImageFilter.GaussianBlur(random.uniform(0.1, 2.0)))


class PILViews:
    """The two views of NCL's recipe for CIFAR-LT, by torchvision, scaled to the size of the images.

    Reading and decoding is not part of it: the images are in memory, as CIFAR is.

    Args:
        images: A batch (N, 3, H, W) of uint8.
        num_views: 1 for the first view alone, 2 for that of the momentum encoder as well.
    """

    def __init__(self, images: Tensor, num_views: int) -> None:
        self.images = [Image.fromarray(image.permute(1, 2, 0).numpy()) for image in images]
        size = min(images.shape[-2:])
        to_tensor = [T.ToTensor(), T.Normalize([0.5] * 3, [0.25] * 3)]
        strong = T.Compose(
            [
                T.RandomCrop(size, padding=size // 8),
                T.RandomHorizontalFlip(),
                T.AutoAugment(T.AutoAugmentPolicy.CIFAR10),
                *to_tensor,
                T.RandomErasing(p=1.0, scale=(0.25, 0.25), ratio=(1.0, 1.0)),
            ]
        )
        key = T.Compose(
            [
                T.RandomResizedCrop(size, scale=(0.2, 1.0)),
                T.RandomHorizontalFlip(),
                T.RandomApply([T.ColorJitter(0.4, 0.4, 0.4, 0.1)], p=0.8),
                T.RandomGrayscale(p=0.2),
                T.RandomApply([T.Lambda(_blur)], p=0.5),
                *to_tensor,
            ]
        )
        self.transforms = [strong, key][:num_views]

    def __call__(self) -> list[Tensor]:
        """Draw the views: for each a tensor (N, 3, S, S) in float32."""
        return [torch.stack([view(image) for image in self.images]) for view in self.transforms]


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
