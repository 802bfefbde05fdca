"""Views of a batch made the usual way: PIL transforms, one image after another."""

import random

import torch
from PIL import Image, ImageFilter
from torch import Tensor
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
